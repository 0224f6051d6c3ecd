//! A hand for writing observations down.

use std::time::Duration;

use observe::{
    Call, Ending, Event, Exit, Object, ObjectId, ObjectKind, Observation, Output, Page, Pages, Process, ProcessId,
    Rung, Snapshot, SourceLine, Sysno, Tracing, What,
};

/// An observation in the making. Times are microseconds since the program's start.
pub(in crate::timeline) struct Scenario {
    pub obs: Observation,
    file: &'static str,
}

impl Scenario {
    /// One process, which began at 0, with its startup and the beginning of its `main`.
    pub fn new(file: &'static str) -> Scenario {
        let obs = Observation {
            ending: Ending::Ended(Exit::Code(0)),
            stdout: Output::default(),
            stderr: Output::default(),
            processes: vec![process(10, None, 0)],
            events: Vec::new(),
            objects: Vec::new(),
            files: Vec::new(),
            survivors: Vec::new(),
            hang: None,
            fifo_bytes: Vec::new(),
            actions_done: 0,
            faults_hit: Vec::new(),
            wall: Duration::ZERO,
            gone: Duration::ZERO,
            left_out: Vec::new(),
            cpu: Duration::ZERO,
            tracing: Tracing::On,
            starved: Duration::ZERO,
            rung: Rung::F,
            rung_reason: None,
            over_limit: None,
            truncated: false,
        };
        let mut scenario = Scenario { obs, file };
        scenario.object(ObjectKind::Standard(0), "standard input");
        scenario.object(ObjectKind::Standard(1), "standard output");
        scenario.object(ObjectKind::Standard(2), "standard error");
        scenario.event(
            150,
            160,
            0,
            0,
            What::Called {
                sysno: Sysno(257),
                call: Call::Open { path: "/lib/libc.so.6".into(), flags: 0, mode: 0, object: None },
                result: Some(Ok(3)),
                injected: false,
            },
        );
        scenario.obs.events[0].startup = true;
        scenario.event(820, 820, 0, 0, What::MainBegan);
        scenario
    }

    pub fn object(&mut self, kind: ObjectKind, label: &str) -> ObjectId {
        let id = ObjectId(self.obs.objects.len() as u32);
        self.obs.objects.push(Object { kind, identity: (1, u64::from(id.0)), label: label.into() });
        id
    }

    fn event(&mut self, at: u64, until: u64, who: u32, line: u32, what: What) {
        let source = (line > 0).then(|| SourceLine { file: self.file.into(), line });
        self.obs.events.push(Event {
            at: Duration::from_micros(at),
            until: Duration::from_micros(until),
            process: ProcessId(who),
            thread: 1000 + who as i32,
            startup: false,
            source,
            pages: Vec::new(),
            stack: observe::Stack::default(),
            what,
        });
    }

    /// A call that took from `at` to `until`.
    pub fn call(&mut self, (at, until): (u64, u64), who: u32, line: u32, call: Call, result: Option<Result<i64, i32>>) {
        self.event(at, until, who, line, What::Called { sysno: Sysno(0), call, result, injected: false });
    }

    pub fn what(&mut self, at: u64, who: u32, what: What) {
        self.event(at, at, who, 0, what);
    }

    /// A fork; the index of the new process.
    pub fn fork(&mut self, at: u64, who: u32, line: u32) -> u32 {
        let child = self.obs.processes.len() as u32;
        self.obs.processes.push(process(10 + child as i32, Some(ProcessId(who)), at + 60));
        self.call((at, at + 70), who, line, Call::Fork { flags: 0 }, Some(Ok(10 + i64::from(child))));
        self.event(at, at + 70, who, line, What::Forked { child: ProcessId(child), snapshots: Vec::new() });
        child
    }

    pub fn exec(&mut self, at: u64, who: u32, path: &str) {
        self.what(at, who, What::Executed { path: path.into(), open: Vec::new() });
        self.what(at + 700, who, What::MainBegan);
    }

    pub fn pipe(&mut self, at: u64, who: u32, line: u32, label: &str, fds: (i32, i32)) -> ObjectId {
        let object = self.object(ObjectKind::Pipe, label);
        let call = Call::Pipe { read_fd: fds.0, write_fd: fds.1, flags: 0, object: Some(object) };
        self.call((at, at + 14), who, line, call, Some(Ok(0)));
        object
    }

    pub fn write(&mut self, times: (u64, u64), who: u32, line: u32, (fd, object): (i32, ObjectId), data: &[u8]) {
        let call = Call::Write {
            fd,
            object: Some(object),
            address: 0,
            asked: data.len() as u64,
            offset: None,
            data: data.into(),
        };
        self.call(times, who, line, call, Some(Ok(data.len() as i64)));
    }

    pub fn read(&mut self, times: (u64, u64), who: u32, line: u32, (fd, object): (i32, ObjectId), data: &[u8]) {
        let call = Call::Read { fd, object: Some(object), address: 0, asked: 4096, offset: None, data: data.into() };
        self.call(times, who, line, call, Some(Ok(data.len() as i64)));
    }

    /// A write to standard output, which arrives there.
    pub fn print(&mut self, at: u64, who: u32, line: u32, data: &[u8]) {
        self.obs.stdout.bytes.extend_from_slice(data);
        self.obs.stdout.total += data.len() as u64;
        self.write((at, at + 12), who, line, (1, ObjectId(1)), data);
    }

    pub fn close(&mut self, at: u64, who: u32, line: u32, (fd, object): (i32, ObjectId)) {
        self.call((at, at + 9), who, line, Call::Close { fd, object: Some(object) }, Some(Ok(0)));
    }

    pub fn wait(&mut self, times: (u64, u64), who: u32, line: u32, child: u32) {
        let pid = self.obs.processes[child as usize].pid;
        let call = Call::Wait { pid, options: 0, reaped: Some(ProcessId(child)) };
        self.call(times, who, line, call, Some(Ok(i64::from(pid))));
        self.obs.processes[child as usize].reaped = true;
    }

    pub fn exit(&mut self, at: u64, who: u32, exit: Exit) {
        let process = &mut self.obs.processes[who as usize];
        (process.exit, process.ended) = (Some(exit), Some(Duration::from_micros(at)));
        self.what(at, who, What::Exited { exit, snapshots: Vec::new() });
    }

    /// What shared memory held at the last event, which is an exit.
    pub fn snapshot(&mut self, address: u64, object: ObjectId, bytes: &[u8]) {
        let seen = Snapshot { address, len: 4096, object: Some(object), bytes: bytes.into() };
        if let Some(What::Exited { snapshots, .. }) = self.obs.events.last_mut().map(|e| &mut e.what) {
            snapshots.push(seen);
        }
    }

    /// What the page tables said at the last event: `.` for a page that is not present, `o` for an object's, `p` for a
    /// private one that is dirty; in frames from this one on.
    pub fn pages(&mut self, address: u64, cells: &str, frame: Option<u64>) {
        let page = |(index, sign): (usize, char)| Page {
            present: sign != '.',
            own: sign == 'p',
            elsewhere: sign == 'o',
            dirty: (sign != '.').then_some(sign == 'p'),
            frame: frame.filter(|_| sign != '.').map(|first| first + index as u64),
        };
        let cells: Vec<Page> = cells.chars().enumerate().map(page).collect();
        let present = cells.iter().filter(|p| p.present).count() as u64;
        let pages = Pages { address, total: cells.len() as u64, present, cells, per_cell: 1, ..Pages::default() };
        if let Some(last) = self.obs.events.last_mut() {
            last.pages.push(pages);
        }
    }

    /// The observation, its events in order of time.
    pub fn done(mut self) -> Observation {
        self.obs.events.sort_by_key(|e| (e.at, e.until));
        let last = self.obs.events.iter().map(|e| e.until).max().unwrap_or_default();
        self.obs.wall = self.obs.wall.max(last);
        self.obs
    }
}

fn process(pid: i32, parent: Option<ProcessId>, started: u64) -> Process {
    Process {
        pid,
        parent,
        started: Duration::from_micros(started),
        ended: None,
        exit: None,
        reaped: false,
        killed: false,
        cpu: Duration::ZERO,
        cpu_while_alone: Duration::ZERO,
        reads: 0,
        writes: 0,
        minor_faults: 0,
        major_faults: 0,
        open_at_exit: Vec::new(),
    }
}
