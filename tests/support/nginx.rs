//! A real nginx that serves a directory on loopback.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{free_port, require};

/// A running nginx; stopped when it is dropped.
pub struct Nginx {
    child: Child,
    port: u16,
    _work: TempDir,
}

impl Nginx {
    /// Serves `root`; `None` where there is no nginx.
    pub fn start(root: &Path) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let program = require("tests on nginx", program, "apt-get install nginx-light")?;
        let work = tempfile::tempdir().unwrap();
        let port = free_port();
        let (dir, root) = (work.path().display(), root.display());
        let config = format!(
            "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log; events {{}}\n\
             http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;\n\
             uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; types {{ application/xml xml; application/json json; }}\n\
             server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
        );
        let file = work.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let child =
            Command::new(program).arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nginx = Self { child, port, _work: work };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "nginx did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(nginx)
    }

    /// Address of a file of the directory.
    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
