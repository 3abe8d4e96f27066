use wasmtime::*;
fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap();
    let mut c = Config::new();
    c.cranelift_opt_level(OptLevel::Speed);
    let e = Engine::new(&c)?;
    let t = std::time::Instant::now();
    let m = Module::from_file(&e, &path)?;
    println!("compiled in {:?}", t.elapsed());
    if let Some(o) = std::env::args().nth(2) {
        std::fs::write(o, m.serialize()?)?;
    }
    let mut l = Linker::<()>::new(&e);
    l.func_wrap("host", "now", || 0u64)?;
    l.func_wrap("host", "random", || 0u64)?;
    l.func_wrap("host", "port_read", |_: u32, _: u32| 0u32)?;
    l.func_wrap("host", "port_write", |_: u32, _: u32, _: u32| {})?;
    l.func_wrap("host", "mmio_read", |_: u64, _: u32| 0u64)?;
    l.func_wrap("host", "mmio_write", |_: u64, _: u32, _: u64| {})?;
    l.func_wrap("host", "acknowledge_interrupt", || 0u32)?;
    l.func_wrap("host", "log", |_: u32, _: u32| {})?;
    let mut s = Store::new(&e, ());
    let i = l.instantiate(&mut s, &m)?;
    let new = i.get_typed_func::<u32, u32>(&mut s, "engine_new")?;
    let boot = i.get_typed_func::<(u32, u64, u64, u64, u64, u32), ()>(&mut s, "engine_boot")?;
    let run = i.get_typed_func::<u64, u32>(&mut s, "engine_run")?;
    let ram = new.call(&mut s, 1 << 20)?;
    let code: &[u8] = &[
        0xBE, 0, 0x80, 0, 0, 0x8B, 6, 1, 0xD8, 0x89, 0x46, 4, 0x31, 0xC3, 0x42, 0x81, 0xFA, 0xE8, 3, 0, 0,
        0x75, 2, 0x31, 0xD2, 0x8B, 0x3C, 0x96, 0x8D, 0x4C, 0x39, 1, 0x85, 0xC9, 0x75, 0xE1, 0xEB, 0xDF,
    ];
    let mem = i.get_memory(&mut s, "memory").unwrap();
    mem.write(&mut s, ram as usize + 0x1000, code)?;
    boot.call(&mut s, (32, 0x1000, 0, 0, 0, 0))?;
    let t = std::time::Instant::now();
    let r = run.call(&mut s, 500_000_000)?;
    println!("{r} {:.0} M/s", 500.0 / t.elapsed().as_secs_f64());
    Ok(())
}
