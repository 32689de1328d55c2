//! How fast authority is computed: `cargo bench --bench influence [-- AUTHORS CONTACTS]`.
//!
//! A synthetic graph in which few are spoken to by many (a power law), a million authors and ten million contacts unless
//! said otherwise: gathered, sorted, ranked. Then a hundredth of it again, beside networkx (`script/bootstrap --bench`)
//! on the same graph, with the ranks of both compared. Prints times, the graph's size and the peak memory of the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout, clippy::panic)]

#[path = "support/chance.rs"]
mod chance;

use std::fmt::Write;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use chance::Chance;
use hearken::score::author::authority::{Contacts, DAMPING, Graph};

/// Ranks of both may differ by this.
const EQUAL: f64 = 1e-6;

/// Who spoke to whom, on how many days; every fourth contact is answered, which makes ties.
fn contacts(authors: u32, contacts: usize) -> impl Iterator<Item = (u32, u32, u32)> {
    let mut chance = Chance(0x5eed);
    (0..contacts * 4 / 5).flat_map(move |number| {
        let (from, to) = (chance.below(authors), chance.skewed(authors));
        let days = 1 + chance.skewed(30);
        let answer = (number % 4 == 0).then_some((to, from, days));
        std::iter::once((from, to, days)).chain(answer)
    })
}

fn heard_days(authors: u32) -> Vec<u32> {
    let mut chance = Chance(0xdada);
    (0..authors).map(|_| chance.skewed(400)).collect()
}

/// Gathers, sorts and ranks; returns the graph.
fn measure(authors: u32, count: usize) -> Graph {
    let started = Instant::now();
    let mut gathered = Contacts::new(authors as usize);
    contacts(authors, count).for_each(|(from, to, days)| gathered.add(from, Some(to), days));
    let made = started.elapsed();
    let graph = gathered.into_graph();
    let sorted = started.elapsed();
    let heard = heard_days(authors);
    let votes = graph.votes(&heard);
    let voted = started.elapsed();
    let ranks = graph.page_rank(&votes);
    let all = started.elapsed();
    println!(
        "hearken: {authors} authors, {} contacts: gathered in {made:.2?}, sorted in {:.2?}, circle found in {:.2?}, \
         {} rounds in {:.2?}; {all:.2?} in all",
        graph.contacts(),
        sorted - made,
        voted - sorted,
        ranks.rounds,
        all - voted,
    );
    println!(
        "  {} MiB graph, {} voters, {}",
        (graph.contacts() * 8 + authors as usize * 16) >> 20,
        votes.iter().filter(|vote| **vote > 0.0).count(),
        peak_memory()
    );
    graph
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown").to_owned()
}

/// Ranks of the same graph by networkx, with its own time of ranking; `None` where it is not there.
fn rival(authors: u32, count: usize, votes: &[f64]) -> Option<Vec<f64>> {
    const RANK: &str = "import sys, time, networkx as nx\n\
        n = int(sys.stdin.readline())\n\
        votes = dict(enumerate(float(v) for v in sys.stdin.readline().split()))\n\
        g = nx.DiGraph(); g.add_nodes_from(range(n))\n\
        for line in sys.stdin:\n\
        \x20   a, b, w = line.split(); a = int(a); b = int(b); w = float(w)\n\
        \x20   if g.has_edge(a, b): g[a][b]['weight'] += w\n\
        \x20   else: g.add_edge(a, b, weight=w)\n\
        start = time.perf_counter()\n\
        ranks = nx.pagerank(g, alpha=0.85, personalization=votes, dangling=votes, tol=1e-12, max_iter=1000)\n\
        print(time.perf_counter() - start)\n\
        print(' '.join(repr(ranks[i]) for i in range(n)))\n";
    let home = std::env::var_os("HEARKEN_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share/hearken")))?;
    let python = home.join("python/bin/python");
    let found = Command::new(&python).args(["-c", "import networkx, scipy"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        println!("not run: networkx: not found, run script/bootstrap --bench");
        return None;
    }
    let mut text = format!("{authors}\n");
    votes.iter().for_each(|vote| write!(text, "{vote:e} ").unwrap());
    text.push('\n');
    for (from, to, days) in contacts(authors, count).filter(|(from, to, _)| from != to) {
        writeln!(text, "{from} {to} {}", (f64::from(days).sqrt() * 1024.0).round()).unwrap();
    }
    let mut command = Command::new(python);
    let mut child = command.args(["-c", RANK]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "networkx failed");
    let answer = String::from_utf8(output.stdout).unwrap();
    let (seconds, ranks) = answer.split_once('\n').unwrap();
    println!("networkx: ranked in {:.3} s, without making the graph", seconds.parse::<f64>().unwrap());
    Some(ranks.split_whitespace().map(|rank| rank.parse().unwrap()).collect())
}

fn main() {
    let numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u32>().ok());
    let numbers: Vec<u32> = numbers.collect();
    let (authors, count) = match numbers[..] {
        [authors, contacts] => (authors, contacts as usize),
        _ => (1_000_000, 10_000_000),
    };
    drop(measure(authors, count));
    let (authors, count) = (authors / 100, count / 100);
    let graph = measure(authors, count);
    let votes = graph.votes(&heard_days(authors));
    let Some(expected) = rival(authors, count, &votes) else { return };
    let ranks = graph.page_rank(&votes).ranks;
    let difference = ranks.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("largest difference of a rank: {difference:.1e} (damping {DAMPING})");
    assert!(ranks.len() == expected.len() && difference < EQUAL, "the ranks differ");
}
