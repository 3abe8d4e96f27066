//! The civil calendar: seconds since 1970 to date and time of day, and back.

pub(super) const SECONDS_A_DAY: i64 = 86_400;

/// A date and time of the proleptic Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    /// 0 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

/// First second of the year 0 and last of 9999, what two plus two digits can show.
pub(super) const FIRST: i64 = -62_167_219_200;
pub(super) const LAST: i64 = 253_402_300_799;

impl Civil {
    /// From seconds since 1970-01-01, clamped to the years 0 to 9999.
    pub(super) fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(FIRST, LAST);
        let of_day = seconds.rem_euclid(SECONDS_A_DAY);
        // Days since 0000-03-01; years that start in March have the leap day last.
        let days = seconds.div_euclid(SECONDS_A_DAY) + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: (era * 400 + year_of_era + i64::from(month <= 2)) as u16,
            month: month as u8,
            day: day as u8,
            hour: (of_day / 3600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
        }
    }

    /// Seconds since 1970-01-01. Fields out of range carry into the next larger one, as the 31st of
    /// a short month does; a month out of range counts as the nearest.
    pub(super) fn to_unix(self) -> i64 {
        let month = i64::from(self.month.clamp(1, 12));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(self.day) - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        let days = era * 146_097 + of_era - 719_468;
        days * SECONDS_A_DAY
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
    }

    /// Day of the week, 1 is Sunday.
    pub(super) fn weekday(self) -> u8 {
        // 1970-01-01 was a Thursday.
        ((self.to_unix().div_euclid(SECONDS_A_DAY) + 4).rem_euclid(7) + 1) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, year, month, day, weekday) in [
            (0, 1970, 1, 1, 5),
            (951_782_400, 2000, 2, 29, 3),
            (1_709_164_800, 2024, 2, 29, 5),
            (1_735_689_599, 2024, 12, 31, 3),
            (4_107_542_400, 2100, 3, 1, 2),
            (LAST, 9999, 12, 31, 6),
            (FIRST, 0, 1, 1, 7),
        ] {
            let civil = Civil::from_unix(seconds);
            assert_eq!((civil.year, civil.month, civil.day), (year, month, day));
            assert_eq!(civil.weekday(), weekday, "{civil:?}");
            assert_eq!(civil.to_unix(), seconds);
        }
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut before = Civil::from_unix(0);
        for day in 1..292_194 {
            let civil = Civil::from_unix(day * SECONDS_A_DAY);
            assert_eq!(civil.to_unix(), day * SECONDS_A_DAY);
            let next_day = (civil.year, civil.month, civil.day) > (before.year, before.month, before.day);
            assert!(next_day && civil.day == before.day + 1 || civil.day == 1 && before.day >= 28);
            before = civil;
        }
    }
}
