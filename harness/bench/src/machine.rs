//! Where the figures were made: everything known to change them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::format::bytes;

/// The machine, as far as an ordinary user can see it. What cannot be read is
/// `None`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: Option<String>,
    /// Processors that this process may use.
    pub cpus: usize,
    /// Sizes of the caches, as "L1d 48 KiB".
    pub caches: Vec<String>,
    /// Release and version.
    pub kernel: Option<String>,
    /// The architecture.
    pub architecture: Option<String>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of a page.
    pub page_bytes: usize,
    /// The mode of transparent huge pages: always, madvise or never.
    pub transparent_huge_pages: Option<String>,
    /// The processor's frequency governor.
    pub governor: Option<String>,
    /// The vendor of the hypervisor, if there is one.
    pub hypervisor: Option<String>,
    /// What the files lie on.
    pub storage: Storage,
    /// Load averages over one minute, before and after.
    pub load_average: (f64, f64),
    /// Part of the processors' time that other processes had while it ran.
    pub others_share: Option<f64>,
    /// Part of the processors' time that the hypervisor gave to others.
    pub stolen_share: Option<f64>,
    /// Whether this process is privileged.
    pub root: bool,
    /// What of the kernel's services is here: name, and "yes" or the reason.
    pub services: Vec<(String, String)>,
}

/// The file system and the device below it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Storage {
    /// The file system's type.
    pub file_system: Option<String>,
    /// Where it is mounted.
    pub mount_point: Option<String>,
    /// Its mount options.
    pub mount_options: Option<String>,
    /// The device's name.
    pub device: Option<String>,
    /// The device's model, or its driver.
    pub model: Option<String>,
    /// Whether it says that it turns.
    pub rotational: Option<bool>,
    /// How far the kernel reads ahead, in KiB.
    pub read_ahead_kb: Option<u64>,
    /// The request scheduler in use.
    pub scheduler: Option<String>,
    /// Whether a hypervisor may keep a cache of its own below: then "cold" is
    /// cold for this kernel only.
    pub hypervisor_may_cache: bool,
}

/// CPU time of the machine and of this process, in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticks {
    all: f64,
    busy: f64,
    stolen: f64,
    own: f64,
}

impl Ticks {
    pub(crate) fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let fields: Vec<f64> =
            stat.lines().next()?.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
        let [user, nice, system, idle, iowait, irq, softirq, stolen] = fields[..] else {
            return None;
        };
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        let after_name = own.rsplit_once(')')?.1;
        // utime, stime, cutime and cstime are fields 14 to 17 of proc(5); the
        // state, field 3, comes first here.
        let own = after_name.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
        let busy = user + nice + system + irq + softirq;
        Some(Self { all: busy + idle + iowait + stolen, busy, stolen, own })
    }
}

impl Machine {
    /// Looks at the machine, and at what `dir` lies on.
    pub fn look(dir: &Path) -> Self {
        let hypervisor = hypervisor();
        let mut storage = storage(dir);
        storage.hypervisor_may_cache = hypervisor.is_some() && storage.device.is_some();
        let uname = nix::sys::utsname::uname().ok();
        let text = |os: &std::ffi::OsStr| os.to_string_lossy().into_owned();
        Self {
            cpu: cpu_model(),
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get()),
            caches: caches(),
            kernel: uname.as_ref().map(|u| format!("{} {}", text(u.sysname()), text(u.release()))),
            architecture: uname.as_ref().map(|u| text(u.machine())),
            memory_bytes: meminfo("MemTotal"),
            page_bytes: crate::memory::page_size(),
            transparent_huge_pages: chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            hypervisor,
            storage,
            load_average: (load(), 0.0),
            others_share: None,
            stolen_share: None,
            root: nix::unistd::geteuid().is_root(),
            services: services(),
        }
    }

    /// Notes what else went on between `before` and now.
    pub(crate) fn note_load(&mut self, before: Option<Ticks>) {
        self.load_average.1 = load();
        if let (Some(before), Some(after)) = (before, Ticks::now()) {
            let all = (after.all - before.all).max(1.0);
            let own = after.own - before.own;
            self.others_share = Some(((after.busy - before.busy - own) / all).clamp(0.0, 1.0));
            self.stolen_share = Some(((after.stolen - before.stolen) / all).clamp(0.0, 1.0));
        }
    }

    /// What is known, as pairs of a name and a value in words.
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|v| !v.is_empty()) {
                rows.push((name.to_owned(), value));
            }
        };
        add("CPU", self.cpu.as_ref().map(|cpu| format!("{cpu}, {} usable", self.cpus)));
        add("caches", (!self.caches.is_empty()).then(|| self.caches.join(", ")));
        add("memory", self.memory_bytes.map(bytes));
        add("kernel", self.kernel.clone());
        add("architecture", self.architecture.clone());
        add("hypervisor", Some(self.hypervisor.clone().unwrap_or_else(|| "none seen".to_owned())));
        add("governor", self.governor.clone());
        add("transparent huge pages", self.transparent_huge_pages.clone());
        let storage = &self.storage;
        add(
            "file system",
            storage.file_system.as_ref().map(|kind| {
                let options = storage.mount_options.as_deref().unwrap_or("");
                let place = storage.mount_point.as_deref().unwrap_or("?");
                format!("{kind} at {place} ({options})")
            }),
        );
        add(
            "device",
            storage.device.as_ref().map(|device| {
                let model = storage.model.as_deref().unwrap_or("model unknown");
                let below = if storage.hypervisor_may_cache { "; the hypervisor may cache below it" } else { "" };
                format!("{device} ({model}){below}")
            }),
        );
        add("read-ahead", storage.read_ahead_kb.map(|kb| format!("{kb} KiB")));
        add("I/O scheduler", storage.scheduler.clone());
        add("load average", Some(format!("{:.2} before, {:.2} after", self.load_average.0, self.load_average.1)));
        add("CPU time of others meanwhile", self.others_share.map(|share| format!("{:.0} %", share * 100.0)));
        add("CPU time stolen by the hypervisor", self.stolen_share.map(|share| format!("{:.0} %", share * 100.0)));
        for (name, answer) in &self.services {
            add(name, Some(answer.clone()));
        }
        rows
    }
}

fn line(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|t| !t.is_empty())
}

/// The word in brackets, as sysfs marks the choice in force.
fn chosen(path: impl AsRef<Path>) -> Option<String> {
    let text = line(path)?;
    match text.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
        Some((word, _)) => Some(word.to_owned()),
        None => Some(text),
    }
}

fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name") || l.starts_with("Model"))?;
    line.split_once(':').map(|(_, model)| model.trim().to_owned())
}

fn caches() -> Vec<String> {
    let base = Path::new("/sys/devices/system/cpu/cpu0/cache");
    (0..8)
        .filter_map(|index| {
            let dir = base.join(format!("index{index}"));
            let level = line(dir.join("level"))?;
            let kind = match line(dir.join("type"))?.as_str() {
                "Data" => "d",
                "Instruction" => "i",
                _ => "",
            };
            Some(format!("L{level}{kind} {}", line(dir.join("size"))?.replace('K', " KiB")))
        })
        .collect()
}

/// A value of /proc/meminfo, in bytes.
pub(crate) fn meminfo(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.split(':').next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}

fn load() -> f64 {
    fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

fn hypervisor() -> Option<String> {
    let flagged = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| {
        text.lines().any(|l| l.starts_with("flags") && l.split_whitespace().any(|f| f == "hypervisor"))
    });
    let known = line("/sys/hypervisor/type").or_else(|| {
        let vendor = line("/sys/class/dmi/id/sys_vendor")?;
        let product = line("/sys/class/dmi/id/product_name").unwrap_or_default();
        Some(format!("{vendor} {product}").trim().to_owned())
    });
    flagged.then(|| known.unwrap_or_else(|| "yes, which is not told".to_owned()))
}

fn storage(dir: &Path) -> Storage {
    let Ok(metadata) = fs::metadata(dir) else { return Storage::default() };
    let (major, minor) = (libc::major(metadata.dev()), libc::minor(metadata.dev()));
    let mut storage = Storage::default();
    if let Some(mount) = mount_of(major, minor) {
        storage.file_system = Some(mount.file_system);
        storage.mount_point = Some(mount.point);
        storage.mount_options = Some(mount.options);
    }
    storage.read_ahead_kb =
        line(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb")).and_then(|kb| kb.parse().ok());
    let Ok(node) = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")) else {
        return storage;
    };
    storage.device = node.file_name().map(|name| name.to_string_lossy().into_owned());
    // A partition's queue is its disk's.
    let disk = if node.join("queue").is_dir() { Some(node.as_path()) } else { node.parent() };
    if let Some(disk) = disk {
        storage.scheduler = chosen(disk.join("queue/scheduler"));
        storage.rotational = line(disk.join("queue/rotational")).map(|flag| flag == "1");
        storage.model = line(disk.join("device/model")).or_else(|| {
            let driver = fs::canonicalize(disk.join("device/driver")).ok()?;
            Some(format!("driver {}", driver.file_name()?.to_string_lossy()))
        });
    }
    storage
}

struct Mount {
    file_system: String,
    point: String,
    /// Those of the mount, then those of the file system itself.
    options: String,
}

fn mount_of(major: u32, minor: u32) -> Option<Mount> {
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let device = format!("{major}:{minor}");
    let line = text.lines().rfind(|l| l.split_whitespace().nth(2) == Some(device.as_str()))?;
    let (head, tail) = line.split_once(" - ")?;
    let head: Vec<&str> = head.split_whitespace().collect();
    let tail: Vec<&str> = tail.split_whitespace().collect();
    let mut options: Vec<&str> = head.get(5)?.split(',').collect();
    for option in tail.get(2).iter().flat_map(|options| options.split(',')) {
        if !options.contains(&option) {
            options.push(option);
        }
    }
    Some(Mount {
        file_system: (*tail.first()?).to_owned(),
        point: (*head.get(4)?).to_owned(),
        options: options.join(","),
    })
}

/// What of the kernel's services works here, found out by trying each.
fn services() -> Vec<(String, String)> {
    let mut services = Vec::new();
    let mut add = |name: &str, answer: Result<(), String>| {
        let answer = answer.map_or_else(|why| format!("no: {why}"), |()| "yes".to_owned());
        services.push((name.to_owned(), answer));
    };
    add("io_uring", io_uring::IoUring::new(1).map(|_| ()).map_err(|error| error.to_string()));
    add("hardware counters", crate::counters::hardware());
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_at_least_what_every_linux_says() {
        let machine = Machine::look(Path::new("/tmp"));
        assert!(machine.cpus >= 1);
        assert!(machine.kernel.as_deref().unwrap_or("").starts_with("Linux"));
        assert!(machine.memory_bytes.unwrap_or(0) > 0);
        assert!(machine.rows().iter().any(|(name, _)| name == "kernel"));
    }
}
