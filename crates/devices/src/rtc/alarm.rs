//! When the alarm goes off next.

use super::calendar::{LAST, SECONDS_A_DAY};

/// What one alarm register asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// "Don't care": 0xC0 to 0xFF.
    Any,
    Exactly(u8),
    /// Not a time of day.
    Never,
}

impl Match {
    fn accepts(self, value: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(wanted) => value == i64::from(wanted),
            Self::Never => false,
        }
    }
}

/// The three alarm registers, decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alarm {
    pub second: Match,
    pub minute: Match,
    pub hour: Match,
}

impl Alarm {
    /// The first second after `second` (since 1970) at which all three match.
    pub(super) fn next_after(&self, second: i64) -> Option<i64> {
        let mut at = second + 1;
        // Skips whole hours, then minutes, then seconds; a match is less than a day away.
        for _ in 0..24 + 60 + 60 + 3 {
            if at > LAST {
                return None;
            }
            let of_day = at.rem_euclid(SECONDS_A_DAY);
            if !self.hour.accepts(of_day / 3600) {
                at += 3600 - of_day % 3600;
            } else if !self.minute.accepts(of_day / 60 % 60) {
                at += 60 - of_day % 60;
            } else if !self.second.accepts(of_day % 60) {
                at += 1;
            } else {
                return Some(at);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_match_is_the_one_a_search_second_by_second_finds() {
        let some = [Match::Any, Match::Exactly(0), Match::Exactly(23), Match::Exactly(59), Match::Never];
        for hour in some {
            for minute in some {
                for second in some {
                    let alarm = Alarm { second, minute, hour };
                    for start in [0, 23 * 3600 + 59 * 60 + 58, 86_399, 5 * 3600 + 17] {
                        let found = (start + 1..=start + SECONDS_A_DAY).find(|at| {
                            hour.accepts(at / 3600 % 24)
                                && minute.accepts(at / 60 % 60)
                                && second.accepts(at % 60)
                        });
                        assert_eq!(alarm.next_after(start), found, "{alarm:?} after {start}");
                    }
                }
            }
        }
    }
}
