//! scratch
use wasm_sandbox_oracle::fuzz::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let t = match a[1].as_str() {
        "user" => Target::User,
        "kernel" => Target::Kernel,
        "pages" => Target::PageTables,
        _ => Target::Tables,
    };
    let (start, end): (u64, u64) = (a[2].parse().unwrap(), a[3].parse().unwrap());
    let mut f = Fuzzer::default();
    let mut n = 0;
    for i in start..end {
        if a.len() > 4 {
            eprint!("\r{i} ");
        }
        n += f.run(t, 1, i);
    }
    println!("{n}");
}
