//! Private PostgreSQL and MariaDB servers in a temp folder, on a free port of this
//! machine, stopped when dropped. They are Debian's; `tests/setup.sh` installs them.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tempfile::TempDir;

/// Anything a URL would misread.
pub const PASSWORD: &str = "p@ss:w/rd?#% é";
/// What `PASSWORD` is in a URL.
const QUOTED: &str = "p%40ss%3Aw%2Frd%3F%23%25%20%C3%A9";
/// `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    Mariadb,
}

pub struct Server {
    pub kind: Kind,
    pub port: u16,
    folder: TempDir,
    child: Child,
}

impl Server {
    /// Starts a server; `None`, loudly, where its program is missing outside CI.
    #[allow(clippy::print_stderr)]
    pub async fn start(kind: Kind) -> Option<Server> {
        let Some(program) = program(kind) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "{kind:?} is missing: see tests/setup.sh"
            );
            eprintln!("SKIPPED: {kind:?} is not installed (tests/setup.sh installs it in CI)");
            return None;
        };
        let folder = TempDir::with_prefix("xetl-db-").unwrap();
        if is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        make(kind, &program, folder.path());
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let child = spawn(kind, &program, folder.path(), port);
        let server = Server {
            kind,
            port,
            folder,
            child,
        };
        server.wait().await;
        Some(server)
    }

    /// Stops the server and starts it again on its port, with its data.
    pub async fn restart(&mut self) {
        self.stop();
        let program = program(self.kind).unwrap();
        self.child = spawn(self.kind, &program, self.folder.path(), self.port);
        self.wait().await;
    }

    /// Without the password.
    pub fn url(&self, database: &str) -> String {
        let scheme = self.scheme();
        format!("{scheme}://xetl@127.0.0.1:{}/{database}", self.port)
    }

    pub async fn connect(&self, database: &str) -> sqlx::Result<AnyConnection> {
        sqlx::any::install_default_drivers();
        let (scheme, port) = (self.scheme(), self.port);
        AnyConnection::connect(&format!(
            "{scheme}://xetl:{QUOTED}@127.0.0.1:{port}/{database}"
        ))
        .await
    }

    pub async fn run(&self, database: &str, statement: &str) {
        let mut connection = self.connect(database).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    fn scheme(&self) -> &'static str {
        match self.kind {
            Kind::Postgres => "postgres",
            Kind::Mariadb => "mysql",
        }
    }

    /// The database that is always there.
    pub fn home(&self) -> &'static str {
        match self.kind {
            Kind::Postgres => "postgres",
            Kind::Mariadb => "mysql",
        }
    }

    async fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while let Err(error) = self.connect(self.home()).await {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{:?}: {error}\n{log}", self.kind);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn stop(&mut self) {
        // PostgreSQL ends its sessions on SIGINT and waits for them on SIGTERM.
        let signal = match self.kind {
            Kind::Postgres => "-INT",
            Kind::Mariadb => "-TERM",
        };
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args([signal, &pid]).status();
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn program(kind: Kind) -> Option<PathBuf> {
    match kind {
        Kind::Postgres => {
            let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
            let programs = versions.map(|version| version.unwrap().path().join("bin/postgres"));
            programs.filter(|path| path.is_file()).max()
        }
        Kind::Mariadb => {
            let path = PathBuf::from("/usr/sbin/mariadbd");
            path.is_file().then_some(path)
        }
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Makes the server's files, with the user `xetl`.
fn make(kind: Kind, program: &Path, folder: &Path) {
    let data = folder.join("data");
    let mut making = match kind {
        Kind::Postgres => {
            std::fs::write(folder.join("password"), PASSWORD).unwrap();
            let mut initdb = command(&program.with_file_name("initdb"), folder);
            initdb.args(["--username=xetl", "--auth=scram-sha-256", "--no-sync"]);
            initdb.args(["--encoding=UTF8", "--locale=C", "--pwfile=password"]);
            initdb
        }
        Kind::Mariadb => {
            let user = format!(
                "CREATE USER IF NOT EXISTS xetl@'%' IDENTIFIED BY '{PASSWORD}';\n\
                 GRANT ALL ON *.* TO xetl@'%' WITH GRANT OPTION;\n"
            );
            std::fs::write(folder.join("init.sql"), user).unwrap();
            let mut install = command(Path::new("/usr/bin/mariadb-install-db"), folder);
            install.args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"]);
            install.arg("--auth-root-authentication-method=normal");
            install
        }
    };
    let argument = match kind {
        Kind::Postgres => format!("--pgdata={}", data.display()),
        Kind::Mariadb => format!("--datadir={}", data.display()),
    };
    let made = making.arg(argument).output().unwrap();
    let text = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{kind:?} makes no files: {text}");
}

fn spawn(kind: Kind, program: &Path, folder: &Path, port: u16) -> Child {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut server = command(program, folder);
    match kind {
        Kind::Postgres => server.args([
            format!("-D{}", path("data")),
            format!("-p{port}"),
            "-h127.0.0.1".to_owned(),
            format!("-k{}", folder.display()),
            "-F".to_owned(),
        ]),
        Kind::Mariadb => server.args([
            "--no-defaults".to_owned(),
            format!("--datadir={}", path("data")),
            format!("--socket={}", path("socket")),
            format!("--pid-file={}", path("pid")),
            format!("--init-file={}", path("init.sql")),
            format!("--port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--skip-name-resolve".to_owned(),
            "--character-set-server=utf8mb4".to_owned(),
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
        ]),
    };
    let log = std::fs::File::create(folder.join("log")).unwrap();
    server
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
