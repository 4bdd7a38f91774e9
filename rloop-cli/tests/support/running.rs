//! A program that is run beside a test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

/// A process that is killed unless it has ended.
pub struct Running(Child);

impl Running {
    /// Starts it, with its output and errors to be read here.
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self(command.stderr(Stdio::piped()).spawn().expect("starts"))
    }

    /// Waits for the first line of its output, and so for its first interval.
    pub fn first_line(&mut self) -> String {
        let output = self.0.stdout.take().expect("its output");
        let mut reader = BufReader::new(output);
        let mut line = String::new();
        reader.read_line(&mut line).expect("reads");
        self.0.stdout = Some(reader.into_inner());
        line
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is our child and was not waited for, so its number is its own.
        assert_eq!(unsafe { libc::kill(self.0.id() as i32, signal) }, 0);
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Reads no more of its output.
    pub fn stop_reading(&mut self) {
        drop(self.0.stdout.take());
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("waits").is_some()
    }

    /// Exit code or signal, and what it said.
    pub fn end(&mut self) -> (Option<i32>, Option<i32>, String) {
        let status = self.0.wait().expect("waits");
        let mut said = String::new();
        let stderr = self.0.stderr.take();
        stderr
            .expect("its errors")
            .read_to_string(&mut said)
            .expect("reads");
        (status.code(), status.signal(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, mostly.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
