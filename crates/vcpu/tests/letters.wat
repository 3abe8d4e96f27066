;; The interface of `engine/`, and behind it a program of letters in RAM, one each for what a processor wants of
;; its host. The accumulator is written to port 0x10 by `w`; unknown letters do nothing.
(module
  (import "host" "now" (func $now (result i64)))
  (import "host" "random" (func $random (result i64)))
  (import "host" "port_read" (func $port_read (param i32 i32) (result i32)))
  (import "host" "port_write" (func $port_write (param i32 i32 i32)))
  (import "host" "mmio_read" (func $mmio_read (param i64 i32) (result i64)))
  (import "host" "mmio_write" (func $mmio_write (param i64 i32 i64)))
  (import "host" "acknowledge_interrupt" (func $acknowledge_interrupt (result i32)))
  (import "host" "log" (func $log (param i32 i32)))
  (import "host" "translated" (func $translated (param i32 i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (table (export "__indirect_function_table") 3 funcref)
  ;; 2080: where translated code is called; 2084: the part that is. 3100: the bodies of a function that returns 0 and of one that adds 10.
  (type $enter (func (param i32) (result i32)))
  ;; 1024: the shared block. 2048: program counter. 2056: accumulator. 2064: sum of the boot registers.
  ;; 2072: sum of what was invalidated, and 1 for each time that code was thrown away.
  (data (i32.const 2056) "\2a")
  (data (i32.const 3000) "a panic")
  (data (i32.const 3100) "\00\41\00\0b\00\20\00\41\0a\6a\0b")

  (func (export "engine_new") (param $bytes i32) (result i32)
    (drop (memory.grow (i32.shr_u (local.get $bytes) (i32.const 16))))
    (i32.const 65536))
  (func (export "engine_shared") (result i32) (i32.const 1024))
  (func (export "engine_boot")
    (param $mode i32) (param $rip i64) (param $rsi i64) (param $cr3 i64) (param $base i64) (param $limit i32)
    (i32.store (i32.const 2048) (i32.wrap_i64 (local.get $rip)))
    (i64.store (i32.const 2064)
      (i64.add (i64.extend_i32_u (i32.add (local.get $mode) (local.get $limit)))
        (i64.add (local.get $rsi) (i64.add (local.get $cr3) (local.get $base))))))
  (func (export "engine_invalidate") (param $start i64) (param $end i64)
    (i64.store (i32.const 2072)
      (i64.add (i64.load (i32.const 2072)) (i64.add (local.get $start) (local.get $end)))))

  (func (export "engine_renew_code")
    (i64.store (i32.const 2072) (i64.add (i64.load (i32.const 2072)) (i64.const 1))))

  ;; A part is entered by the third of its functions: that adds 10 to what it gets.
  (func (export "engine_translate") (param $least i32) (call $translate (local.get $least)))
  (func $translate (param $part i32)
    (call $translated (local.get $part) (i32.const 3100) (i32.const 4) (i32.const 0) (i32.const 0))
    (call $translated (local.get $part) (i32.const 3100) (i32.const 4) (i32.const 0) (i32.const 0))
    (call $translated (local.get $part) (i32.const 3104) (i32.const 7) (i32.const 0) (i32.const 0))
    (call $translated (local.get $part) (i32.const 3100) (i32.const 4) (i32.const 0) (i32.const 0))
    (call $translated (local.get $part) (i32.const 3100) (i32.const 4) (i32.const 0) (i32.const 0)))
  (func (export "engine_set_translations") (param $index i32) (param $parts i32)
    (i32.store (i32.const 2080) (local.get $index))
    (i32.store (i32.const 2084)
      (select (i32.ctz (local.get $parts)) (i32.const 0) (local.get $parts))))
  (func (export "engine_translate_later") (param $part i32) (param $least i32)
    (i32.store (i32.const 1044) (i32.const 0))
    (call $translate (local.get $part)))
  (func (export "engine_use_later_translation") (param $part i32) (i32.store (i32.const 2084) (local.get $part)))
  (func (export "engine_general") (param i32 i32) (result i32) (i32.const 0))
  (func (export "engine_condition") (param i32) (result i32) (i32.const 0))
  (func (export "engine_pushed_flags") (result i32) (i32.const 0))
  (func (export "engine_change_flags") (param i32 i32))
  (func (export "engine_unsigned_high") (param i64 i64) (result i64) (i64.const 0))
  (func (export "engine_signed_high") (param i64 i64) (result i64) (i64.const 0))

  (func $set (param $value i64) (i64.store (i32.const 2056) (local.get $value)))
  (func $get (result i64) (i64.load (i32.const 2056)))
  (func (export "engine_run") (param $budget i64) (result i32)
    (local $letter i32)
    (loop $next
      (if (i64.eqz (local.get $budget)) (then (return (i32.const 0))))
      (if (i32.load (i32.const 1028))
        (then (i32.store (i32.const 1028) (i32.const 0)) (return (i32.const 4))))
      (local.set $letter (i32.load8_u offset=65536 (i32.load (i32.const 2048))))
      (if (i32.eq (local.get $letter) (i32.const 0x68)) ;; h: waits
        (then
          (if (i32.eqz (i32.load (i32.const 1024))) (then (return (i32.const 1))))
          (call $set (i64.extend_i32_u (call $acknowledge_interrupt)))))
      (i32.store (i32.const 2048) (i32.add (i32.load (i32.const 2048)) (i32.const 1)))
      (i64.store (i32.const 1032) (i64.add (i64.load (i32.const 1032)) (i64.const 1)))
      (local.set $budget (i64.sub (local.get $budget) (i64.const 1)))
      (if (i32.eq (local.get $letter) (i32.const 0x77)) ;; w
        (then (call $port_write (i32.const 0x10) (i32.const 4) (i32.wrap_i64 (call $get)))))
      (if (i32.eq (local.get $letter) (i32.const 0x62)) (then (call $set (i64.load (i32.const 2064))))) ;; b
      (if (i32.eq (local.get $letter) (i32.const 0x6e)) (then (call $set (call $now)))) ;; n
      (if (i32.eq (local.get $letter) (i32.const 0x52)) (then (call $set (call $random)))) ;; R
      (if (i32.eq (local.get $letter) (i32.const 0x69)) ;; i
        (then (call $set (i64.extend_i32_u (call $port_read (i32.const 0x13) (i32.const 4))))))
      (if (i32.eq (local.get $letter) (i32.const 0x4d)) ;; M
        (then (call $mmio_write (i64.const 0xD0000000) (i32.const 8) (call $get))))
      (if (i32.eq (local.get $letter) (i32.const 0x72)) ;; r: the first half must be that of the address
        (then
          (call $set (call $mmio_read (i64.const 0xD000000C) (i32.const 8)))
          (if (i32.ne (i32.load (i32.const 2056)) (i32.const 0xD000000C)) (then (unreachable)))
          (call $set (i64.shr_u (call $get) (i64.const 32)))))
      (if (i32.eq (local.get $letter) (i32.const 0x64)) ;; d
        (then (call $port_write (i32.const 0x11) (i32.const 1) (i32.const 0))))
      (if (i32.eq (local.get $letter) (i32.const 0x65)) ;; e
        (then (call $port_write (i32.const 0x12) (i32.const 1) (i32.const 0))))
      (if (i32.eq (local.get $letter) (i32.const 0x76)) (then (call $set (i64.load (i32.const 2072))))) ;; v
      (if (i32.eq (local.get $letter) (i32.const 0x78)) ;; x: enters the translated part, or interprets if there is none
        (then
          (if (i32.load (i32.const 2084))
            (then
              (call $set (i64.extend_i32_u
                (call_indirect (type $enter) (i32.const 7)
                  (i32.add (i32.load (i32.const 2080)) (i32.load (i32.const 2084)))))))
            (else (call $set (i64.const 9))))))
      (if (i32.eq (local.get $letter) (i32.const 0x6c)) (then (i32.store (i32.const 1044) (i32.const 1)))) ;; l
      (if (i32.eq (local.get $letter) (i32.const 0x40)) (then (return (i32.const 2)))) ;; @
      (if (i32.eq (local.get $letter) (i32.const 0x74)) (then (return (i32.const 3)))) ;; t
      (if (i32.eq (local.get $letter) (i32.const 0x3f)) (then (return (i32.const 9)))) ;; ?
      (if (i32.eq (local.get $letter) (i32.const 0x70)) ;; p
        (then (call $log (i32.const 3000) (i32.const 7)) (unreachable)))
      (if (i32.eq (local.get $letter) (i32.const 0x71)) (then (unreachable))) ;; q
      (br $next))
    (unreachable)))
