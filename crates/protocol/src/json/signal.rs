//! Names of Linux signals on x86 (signal(7)).

use super::Signal;

/// `SIGHUP` to `SIGSYS` by number, from 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The name of signal `number`, such as `SIGKILL`; real-time signals are counted from `SIGRTMIN`, 34.
pub fn signal_name(number: u8) -> String {
    match usize::from(number).checked_sub(1).and_then(|index| NAMES.get(index)) {
        Some(name) => format!("SIG{name}"),
        None if number >= 34 => format!("SIGRTMIN+{}", number - 34),
        None => format!("SIG{number}"),
    }
}

/// The number that `signal` stands for; `None` if there is no such signal. Real-time signals are not sent.
pub fn signal_number(signal: &Signal) -> Option<u8> {
    let name = match signal {
        Signal::Number(number) => {
            return (1..=NAMES.len()).contains(&usize::from(*number)).then_some(*number);
        }
        Signal::Name(name) => name.to_ascii_uppercase(),
    };
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let index = NAMES.iter().position(|known| *known == name)?;
    u8::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_names() {
        for (number, expected) in
            [(1, "SIGHUP"), (9, "SIGKILL"), (11, "SIGSEGV"), (15, "SIGTERM"), (31, "SIGSYS")]
        {
            assert_eq!(signal_name(number), expected);
        }
        assert_eq!((signal_name(0).as_str(), signal_name(35).as_str()), ("SIG0", "SIGRTMIN+1"));
    }

    #[test]
    fn names_have_their_numbers() {
        for number in 1..=31 {
            assert_eq!(signal_number(&Signal::Name(signal_name(number))), Some(number));
        }
        for (signal, number) in [
            (Signal::Name("term".into()), Some(15)),
            (Signal::Name("KILL".into()), Some(9)),
            (Signal::Name("SIGFOO".into()), None),
            (Signal::Name(String::new()), None),
            (Signal::Number(31), Some(31)),
            (Signal::Number(0), None),
            (Signal::Number(32), None),
        ] {
            assert_eq!(signal_number(&signal), number, "{signal:?}");
        }
    }
}
