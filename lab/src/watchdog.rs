//! A test that does not end: says who waits in the kernel for what, before the machine is stopped for it.

use std::fs;
use std::process;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::kernel_log::KernelLog;

/// Waits until it goes; if that takes too long, it barks.
pub(crate) struct Watchdog {
    /// Nothing is sent: it being gone is the message.
    _alive: Sender<()>,
}

impl Watchdog {
    /// Prints who waits when there is little left of a time limit.
    pub(crate) fn start(limit: Duration) -> Self {
        const BEFORE: Duration = Duration::from_secs(10);
        let (alive, gone) = mpsc::channel::<()>();
        thread::spawn(move || {
            let wait = limit.saturating_sub(BEFORE);
            if gone.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                println!("--- it does not end; who waits:");
                let waiting = waiting();
                println!("{}", waiting.unwrap_or_else(|error| format!("{error:#}")));
            }
        });
        Self { _alive: alive }
    }
}

/// The kernel's stacks of the tasks that may have to do with it.
fn waiting() -> Result<String> {
    let mut log = KernelLog::from_now_on()?;
    fs::write("/proc/sysrq-trigger", "t")?;
    let text = log.text()?;
    Ok(of_interest(&text, process::id()).join("\n"))
}

/// From the kernel's list of all tasks, those that cannot be woken, are in the module, wait for a lease, or are
/// threads of one process.
fn of_interest(tasks: &str, process: u32) -> Vec<String> {
    let group = format!(" tgid:{process} ");
    let is_of_interest = |task: &&str| {
        let marks = ["state:D", "[rloop]", "break_lease", &group];
        marks.iter().any(|mark| task.contains(mark))
    };
    let tasks = tasks.split("task:").skip(1).filter(is_of_interest);
    tasks.map(without_noise).collect()
}

/// Without what was left on the stack, and the user's registers.
fn without_noise(task: &str) -> String {
    let is_call = |line: &&str| !line.trim_start().starts_with("? ");
    let is_kernel = |line: &&str| *line != " </TASK>" && !line.starts_with("RIP: 0033:");
    let lines = task.lines().take_while(is_kernel);
    lines.filter(is_call).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_have_to_do_with_it_is_told() {
        let log = "sysrq: Show State\n\
                   task:init            state:S stack:0     pid:1     tgid:1     ppid:0\n <TASK>\n do_wait+0x1/0x2\n\
                   task:kworker/1:0     state:D stack:0     pid:26    tgid:26    ppid:2\n <TASK>\n \
                   ? old+0x1/0x2\n schedule+0x28/0xa0\nRIP: 0033:0x7f\n </TASK>\n\
                   task:rloop-lab       state:S stack:0     pid:131   tgid:130   ppid:129\n <TASK>\n futex\n";
        let told = of_interest(log, 130);
        let names: Vec<&str> = told
            .iter()
            .filter_map(|task| task.split_whitespace().next())
            .collect();
        assert_eq!(names, ["kworker/1:0", "rloop-lab"]);
        assert!(told[0].ends_with("schedule+0x28/0xa0"), "{told:?}");
        assert!(!told[0].contains("old"), "{told:?}");
    }
}
