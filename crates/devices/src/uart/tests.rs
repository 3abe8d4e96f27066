//! Drives the registers as a serial driver does; constants are redeclared from the data sheet.

use proptest::prelude::*;

use super::*;
use crate::testing::{Ports, any_accesses};

const DATA: u32 = 0;
const IER: u32 = 1;
const IIR: u32 = 2;
const FCR: u32 = 2;
const LCR: u32 = 3;
const MCR: u32 = 4;
const LSR: u32 = 5;
const MSR: u32 = 6;
const SCR: u32 = 7;

#[test]
fn bytes_written_appear_in_the_output_at_once() {
    let mut uart = Ports::new(Uart::new());
    for byte in b"boot" {
        uart.write8(DATA, *byte);
        assert_eq!(uart.read8(LSR), 0x60);
    }
    assert_eq!(uart.chip.take_output(), b"boot");
    assert_eq!(uart.chip.take_output(), b"");
}

#[test]
fn divisor_latch_hides_data_and_interrupt_enable() {
    let mut uart = Ports::new(Uart::new());
    uart.write8(IER, 0x05);
    uart.write8(LCR, 0x83);
    uart.write8(0, 0x34);
    uart.write8(1, 0x12);
    assert_eq!((uart.read8(0), uart.read8(1)), (0x34, 0x12));
    uart.write8(LCR, 0x03);
    assert_eq!(uart.read8(IER), 0x05);
    assert_eq!(uart.chip.take_output(), b"");
}

#[test]
fn linux_thre_probe_sees_the_interrupt_again_after_re_enabling_it() {
    let mut uart = Ports::new(Uart::new());
    assert_eq!(uart.read8(IIR), 0x01);
    for _ in 0..2 {
        uart.write8(IER, 0x02);
        assert!(uart.interrupt());
        assert_eq!(uart.read8(IIR), 0x02);
        assert!(!uart.interrupt());
        assert_eq!(uart.read8(IIR), 0x01);
        uart.write8(IER, 0x00);
    }
    uart.write8(IER, 0x02);
    uart.read8(IIR);
    uart.write8(IER, 0x02);
    assert!(!uart.interrupt(), "no transition of the enable bit, no interrupt");
    uart.write8(DATA, b'x');
    assert!(uart.interrupt(), "the character has left");
}

#[test]
fn reading_iir_does_not_clear_a_transmitter_interrupt_hidden_by_a_higher_one() {
    let mut uart = Ports::new(Uart::new());
    uart.write8(IER, 0x03);
    assert_eq!(uart.chip.receive(b"a"), 1);
    assert_eq!(uart.read8(IIR), 0x04);
    assert_eq!(uart.read8(DATA), b'a');
    assert_eq!(uart.read8(IIR), 0x02);
    assert_eq!(uart.read8(IIR), 0x01);
}

#[test]
fn without_fifos_the_receiver_holds_one_character() {
    let mut uart = Ports::new(Uart::new());
    assert_eq!(uart.chip.receive(b"abc"), 1);
    assert_eq!(uart.chip.receive(b"bc"), 0);
    assert_eq!(uart.read8(LSR), 0x61);
    assert_eq!(uart.read8(DATA), b'a');
    assert_eq!(uart.read8(LSR), 0x60);
}

#[test]
fn the_trigger_level_tells_data_from_timeout() {
    let mut uart = Ports::new(Uart::new());
    uart.write8(FCR, 0x81);
    uart.write8(IER, 0x01);
    assert_eq!(uart.read8(IIR), 0xC1);
    assert_eq!(uart.chip.receive(&[7; 40]), 16);
    assert_eq!(uart.read8(IIR), 0xC4);
    for _ in 0..9 {
        uart.read8(DATA);
    }
    assert_eq!(uart.read8(IIR), 0xCC, "seven characters, the level is eight");
    for _ in 0..7 {
        assert!(uart.interrupt());
        assert_eq!(uart.read8(DATA), 7);
    }
    assert!(!uart.interrupt());
    uart.chip.receive(b"zz");
    uart.write8(FCR, 0x83);
    assert_eq!(uart.read8(LSR), 0x60, "the receiver was cleared");
}

#[test]
fn loopback_returns_data_and_modem_lines() {
    let mut uart = Ports::new(Uart::new());
    assert_eq!(uart.read8(MSR), 0xB0);
    uart.write8(MCR, 0x1A);
    assert_eq!(uart.read8(MSR) & 0xF0, 0x90, "the test of Linux' autoconfig");
    uart.write8(MCR, 0x14);
    assert_eq!(uart.read8(MSR), 0x49, "CTS and DCD fell, RI rose");
    uart.write8(IER, 0x0C);
    uart.write8(MCR, 0x10);
    assert_eq!(uart.read8(IIR), 0x00, "modem status: the ring's trailing edge");
    assert_eq!(uart.read8(MSR), 0x04);
    uart.write8(DATA, b'1');
    uart.write8(DATA, b'2');
    assert_eq!(uart.read8(IIR), 0x06);
    assert_eq!(uart.read8(LSR), 0x63);
    assert_eq!(uart.read8(IIR), 0x01);
    assert_eq!(uart.read8(DATA), b'2');
    assert_eq!(uart.chip.receive(b"x"), 0);
    assert_eq!(uart.chip.take_output(), b"");
}

#[test]
fn hostile_states_are_refused() {
    let good = Uart::new().save();
    for bad in [
        UartState { interrupt_enable: 0x10, ..good.clone() },
        UartState { fifo_control: 0x02, ..good.clone() },
        UartState { modem_control: 0x20, ..good.clone() },
        UartState { received: vec![0; 17], ..good.clone() },
    ] {
        let mut uart = Uart::new();
        assert!(uart.restore(bad).is_err());
        assert_eq!(uart.save(), good);
    }
}

#[test]
fn reset_forgets_registers_and_keeps_what_was_sent() {
    let mut uart = Ports::new(Uart::new());
    uart.write8(SCR, 9);
    uart.write8(DATA, b'a');
    uart.chip.reset();
    assert_eq!(uart.read8(SCR), 0);
    assert_eq!(uart.chip.take_output(), b"a");
}

proptest! {
    #[test]
    fn a_restored_chip_behaves_as_the_saved_one(
        before in any_accesses(9), input in any::<Vec<u8>>(), after in any_accesses(9),
    ) {
        let mut first = Ports::new(Uart::new());
        first.run(&before);
        first.chip.receive(&input);
        first.run(&before);
        let mut second = Ports::new(Uart::new());
        second.chip.restore(first.chip.save()).unwrap();
        second.now = first.now;
        prop_assert_eq!(first.run(&after), second.run(&after));
        prop_assert_eq!(first.chip.save(), second.chip.save());
    }
}
