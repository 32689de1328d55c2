//! How many texts a second: one by one, in batches as they come, in batches of like length, and ONNX Runtime with the
//! same checkpoint, in turns, so that a busy machine is busy for all of them.
//!
//! ```text
//! cargo run --example throughput -- CHECKPOINT TEXTS [ROUNDS] [PYTHON]
//! ```
//!
//! TEXTS is a file with a text on each line. PYTHON is an interpreter with train/requirements-train.txt; without it
//! ONNX Runtime is left out.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

use std::error::Error;
use std::process::Command;
use std::time::Instant;

use hearken_bert::checkpoint::Checkpoint;
use hearken_bert::model::{Model, Options, Precision};

type Measured = (&'static str, Vec<f64>);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(name), Some(file)) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: throughput CHECKPOINT TEXTS [ROUNDS] [PYTHON]".into());
    };
    let rounds = arguments.get(2).map_or(Ok(3), |rounds| rounds.parse())?;
    let texts: Vec<String> = std::fs::read_to_string(file)?.lines().map(str::to_owned).collect();
    let checkpoint = Checkpoint::open(name, None)?;
    let load = |rows, precision| Model::load(&checkpoint, Options { rows, precision, ..Options::default() });
    let batched = load(Options::default().rows, Precision::Fp32)?;
    let single = load(1, Precision::Fp32)?;
    let half = match Precision::of_this_processor() {
        Precision::Bf16 => Some(load(Options::default().rows, Precision::Bf16)?),
        Precision::Fp32 => None,
    };
    let mut measured: Vec<Measured> = Vec::new();
    for _ in 0..rounds {
        add(&mut measured, "one by one", time(texts.len(), || single.logits(&texts).map(drop))?);
        // A batch at a time: nothing is sorted beyond it.
        let as_they_come = || texts.chunks(Options::default().rows).try_for_each(|part| batched.logits(part).map(drop));
        add(&mut measured, "batches as they come", time(texts.len(), as_they_come)?);
        add(&mut measured, "batches of like length", time(texts.len(), || batched.logits(&texts).map(drop))?);
        if let Some(half) = &half {
            add(&mut measured, "the same in bf16", time(texts.len(), || half.logits(&texts).map(drop))?);
        }
        if let Some(python) = arguments.get(3) {
            add(&mut measured, "ONNX Runtime, like length", onnx(python, name, file)?);
        }
    }
    let base = measured.first().map_or(1.0, |(_, speeds)| median(speeds));
    for (name, speeds) in &measured {
        println!(
            "{name:28} {:7.1} texts/s   {:4.2} times one by one   {speeds:.1?}",
            median(speeds),
            median(speeds) / base
        );
    }
    Ok(())
}

fn add(measured: &mut Vec<Measured>, name: &'static str, speed: f64) {
    match measured.iter_mut().find(|(known, _)| *known == name) {
        Some((_, speeds)) => speeds.push(speed),
        None => measured.push((name, vec![speed])),
    }
}

fn time<E: Error + 'static>(texts: usize, run: impl FnOnce() -> Result<(), E>) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    run()?;
    Ok(texts as f64 / start.elapsed().as_secs_f64())
}

fn onnx(python: &str, checkpoint: &str, texts: &str) -> Result<f64, Box<dyn Error>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/train/onnx_speed.py");
    let output = Command::new(python).args([script, checkpoint, texts]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn median(speeds: &[f64]) -> f64 {
    let mut sorted = speeds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
