//! The `hearken` command: arguments, signals and exit codes.

fn main() {}
