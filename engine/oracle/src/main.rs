//! Smoke.
use wasm_sandbox_oracle::{case::*, silicon::*, generate::*};
use std::collections::BTreeMap;
fn main() {
    let mut s = Silicon::new().unwrap();
    for mode in [Mode::Bits32, Mode::Bits64] {
      for family in Family::ALL {
      let g = Generator { catalogue: Catalogue::new(mode, |_, f| f == family), shape: Shape::Single, seed: 1 };
      let t = std::time::Instant::now();
      let samples: Vec<_> = (0..20000).filter_map(|i| g.sample(i)).collect();
      let t1 = t.elapsed();
      let cases: Vec<_> = samples.iter().map(|s| s.case.clone()).collect();
      let t = std::time::Instant::now();
      let o = s.run(&cases).unwrap();
      let mut m = BTreeMap::new();
      for (o,s) in o.iter().zip(&samples) { let k = match o { Outcome::Stopped(s) => format!("{}", s.exception.vector), Outcome::SystemCall=>"sys".into(), Outcome::Hung=>{println!("hung {:02x?}", s.case.code);"hung".into()}, Outcome::Lost(e)=>{println!("{e} {:02x?}", s.case.code);"lost".into()} }; *m.entry(k).or_insert(0)+=1; }
      println!("{mode:?} {family} codes {} skipped {} samples {} gen {:?} run {:?}: {m:?}", g.catalogue.codes.len(), g.catalogue.skipped.len(), samples.len(), t1, t.elapsed());
    }}
}
