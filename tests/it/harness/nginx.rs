//! nginx, for what a real backend does.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::free_address;
use super::process::Process;

/// A running nginx with one `server`.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    directory: TempDir,
    _process: Process,
}

impl Nginx {
    /// Starts nginx with these directives in its `server` block; its document root is [`Self::root`].
    pub(crate) fn start(server: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), "", server)
    }

    /// The same with parameters for `listen`, such as `ssl`, in a document root where files lie already.
    pub(crate) fn start_in(directory: TempDir, listen: &str, server: &str) -> Self {
        // nginx does not tell which port it was given, so the port is found first.
        let address = free_address();
        let file = directory.path().join("nginx.conf");
        fs::write(&file, configuration(directory.path(), address, listen, server)).unwrap();

        let mut command = Command::new("nginx");
        // Debian keeps it in a directory that is on root's PATH only.
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin");
        command.arg("-p").arg(directory.path()).arg("-e").arg("stderr").arg("-c").arg(&file);
        let process = Process::spawn(&mut command);
        // Written once the sockets listen.
        process.stderr.wait_for("nginx to start", |log| log.contains("getrlimit(RLIMIT_NOFILE)").then_some(()));
        Self { address, directory, _process: process }
    }

    /// The document root.
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }
}

fn configuration(directory: &Path, address: SocketAddr, listen: &str, server: &str) -> String {
    let directory = directory.display();
    // One process in the foreground: it ends with the test, however that ends.
    format!(
        "daemon off; master_process off; pid {directory}/pid; error_log stderr notice; events {{}}
        http {{
            access_log off; client_max_body_size 0;
            client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f;
            uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
            server {{ listen {address} {listen}; root {directory}; {server} }}
        }}"
    )
}
