//! From an instruction pointer to a line of the program's own source: ELF images, stack unwinding, line tables.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::ops::{Deref, Range};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{FrameAddress, Module, ModuleSectionInfo, Unwinder};
use memmap2::Mmap;
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};

use crate::memory::{self, PAGE};
use crate::observation::{SourceLine, Stack};
use crate::process_files::{self, Region};

/// Frames looked at, at most; deeper stacks are recursion that nobody reads.
const DEPTH: usize = 64;
/// Stack bytes fetched page by page; deeper words are fetched singly.
const STACK_KEPT: u64 = 16 << 10;
/// Stacks, and ways up them, remembered for each address space.
const TRACES: usize = 4096;
/// Images kept between launches: what one program maps. Two forks of each launch copy the tables of this memory.
const KEPT: usize = 4;

/// One ELF file, opened once.
pub(crate) struct Image {
    lines: Option<addr2line::Loader>,
    map: Arc<Mmap>,
    sections: HashMap<&'static [u8], (Range<u64>, Range<usize>)>,
    /// Address, file offset and size of the loadable segments.
    segments: Vec<(u64, u64, u64)>,
    /// Where the program's own `main` begins, if the symbol table says so.
    main: Option<u64>,
    entry: u64,
    names: RefCell<HashMap<u64, Rc<Vec<Place>>>>,
}

/// A function that a frame is in, and the line if it is the program's own.
#[derive(Clone, Debug)]
struct Place {
    function: String,
    own: Option<SourceLine>,
}

/// A piece of a mapped ELF file, kept alive by the map.
#[derive(Clone)]
struct Section {
    map: Arc<Mmap>,
    range: Range<usize>,
}

impl Deref for Section {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map[self.range.clone()]
    }
}

const SECTIONS: [&str; 5] = [".text", ".eh_frame", ".eh_frame_hdr", ".got", ".debug_frame"];

impl Image {
    fn open(path: PathBuf) -> Option<Image> {
        let file = File::open(&path).ok()?;
        // SAFETY: the map is only read. Were the file cut short meanwhile, a read could raise SIGBUS and end this
        // supervisor; the caller then reports a fault of the harness and nothing of the launch survives.
        let map = Arc::new(unsafe { Mmap::map(&file) }.ok()?);
        let elf = object::File::parse(&map[..]).ok()?;
        let sections = SECTIONS
            .iter()
            .filter_map(|name| {
                let section = elf.section_by_name(name)?;
                let (start, len) = section.file_range()?;
                let addresses = section.address()..section.address() + section.size();
                Some((name.as_bytes(), (addresses, start as usize..(start + len) as usize)))
            })
            .collect();
        let segments = elf.segments().map(|s| (s.address(), s.file_range().0, s.file_range().1)).collect();
        let main = main_of(&elf);
        let entry = elf.entry();
        drop(elf);
        Some(Image {
            lines: addr2line::Loader::new(path).ok(),
            map,
            sections,
            segments,
            main,
            entry,
            names: RefCell::default(),
        })
    }

    /// What to add to an address in the file to get the address in memory.
    fn bias(&self, region: &Region) -> Option<u64> {
        // Two segments may share a page of the file: the one that begins in it is meant.
        let begins = |(_, offset, _): &&(u64, u64, u64)| offset & !0xfff == region.offset;
        let holds = |(_, offset, len): &&(u64, u64, u64)| (offset & !0xfff..offset + len).contains(&region.offset);
        let (address, offset, _) = self.segments.iter().rfind(begins).or_else(|| self.segments.iter().find(holds))?;
        let in_file = (address & !0xfff) + (region.offset - (offset & !0xfff));
        Some(region.start.wrapping_sub(in_file))
    }

    fn places(&self, address: u64) -> Rc<Vec<Place>> {
        if let Some(known) = self.names.borrow().get(&address) {
            return Rc::clone(known);
        }
        let found = Rc::new(self.look_up(address));
        self.names.borrow_mut().insert(address, Rc::clone(&found));
        found
    }

    fn look_up(&self, address: u64) -> Vec<Place> {
        let Some(lines) = &self.lines else {
            return Vec::new();
        };
        let frames = frames_at(lines, address);
        let depth = frames.len();
        let mut places: Vec<Place> = Vec::new();
        for (n, (function, line)) in frames.into_iter().enumerate() {
            let line = line.or_else(|| line_before(lines, address, &function, depth - n));
            let own = line.filter(|line| is_own(&line.file));
            places.push(Place { function: short_name(&function), own });
        }
        if places.iter().all(|p| p.function.is_empty())
            && let Some(symbol) = lines.find_symbol(address)
        {
            let function = short_name(&rustc_demangle::demangle(symbol).to_string());
            match places.first_mut() {
                Some(first) => first.function = function,
                None => places.push(Place { function, own: None }),
            }
        }
        places
    }
}

/// The functions that an instruction is in, from the innermost that was inlined outwards, each with its line: none at
/// instructions that the compiler has added, of which the line table says line 0 of whatever file.
fn frames_at(lines: &addr2line::Loader, address: u64) -> Vec<(String, Option<SourceLine>)> {
    let mut found = Vec::new();
    if let Ok(mut frames) = lines.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.and_then(|f| f.demangle().ok().map(Cow::into_owned)).unwrap_or_default();
            let line = frame.location.and_then(|l| Some(SourceLine { file: l.file?.to_owned(), line: l.line? }));
            found.push((name, line));
        }
    }
    found
}

/// The line of the last instruction before this one that has any, in the same function: `depth` is how deep that is
/// inlined.
fn line_before(lines: &addr2line::Loader, address: u64, function: &str, depth: usize) -> Option<SourceLine> {
    let begin = lines.find_symbol_info(address)?.address();
    let rows: Vec<u64> = lines.find_location_range(begin, address).ok()?.map(|(row, ..)| row).collect();
    rows.into_iter().rev().find_map(|row| {
        let mut frames = frames_at(lines, row);
        let same = frames.len().checked_sub(depth)?;
        let (name, line) = frames.swap_remove(same);
        line.filter(|_| name == function)
    })
}

impl ModuleSectionInfo<Section> for &Image {
    fn base_svma(&self) -> u64 {
        0
    }

    fn section_svma_range(&mut self, name: &[u8]) -> Option<Range<u64>> {
        self.sections.get(name).map(|(addresses, _)| addresses.clone())
    }

    fn section_data(&mut self, name: &[u8]) -> Option<Section> {
        let (_, range) = self.sections.get(name)?;
        Some(Section { map: Arc::clone(&self.map), range: range.clone() })
    }
}

/// `krate::main` of a Rust program, else `main`.
fn main_of(elf: &object::File<'_>) -> Option<u64> {
    let mut plain = None;
    for symbol in elf.symbols().filter(|s| s.is_definition()) {
        let Ok(name) = symbol.name() else { continue };
        if name == "main" {
            plain = Some(symbol.address());
        } else if name.contains("4main") {
            let demangled = format!("{:#}", rustc_demangle::demangle(name));
            if let Some((krate, "main")) = demangled.split_once("::")
                && krate != "std"
            {
                return Some(symbol.address());
            }
        }
    }
    plain
}

/// Without the hash that Rust's older mangling appends.
fn short_name(name: &str) -> String {
    match name.rsplit_once("::h") {
        Some((front, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => front.to_owned(),
        _ => name.to_owned(),
    }
}

/// The file belongs to the program itself, not to Rust's library or a dependency.
fn is_own(file: &str) -> bool {
    !["/rustc/", "/registry/src/", "/rustlib/src/", "/git/checkouts/"].iter().any(|part| file.contains(part))
        && !file.starts_with("./")
        && !file.starts_with("../sysdeps")
        && !file.starts_with("/build/")
}

/// Images by device and inode, kept between launches.
#[derive(Default)]
pub(crate) struct Images {
    known: HashMap<(u64, u64, i64), Option<Rc<Image>>>,
}

impl Images {
    fn get(&mut self, region: &Region, program: &File) -> Option<Rc<Image>> {
        let own = program.metadata().ok()?;
        let (path, metadata) = if region.inode == own.ino() {
            (PathBuf::from(format!("/proc/self/fd/{}", program.as_raw_fd())), own)
        } else {
            let path = PathBuf::from(&region.path);
            let metadata = path.metadata().ok()?;
            (path, metadata)
        };
        if metadata.ino() != region.inode {
            return None;
        }
        let key = (metadata.dev(), metadata.ino(), metadata.mtime_nsec() ^ metadata.mtime());
        if self.known.len() > KEPT {
            self.known.clear();
        }
        self.known.entry(key).or_insert_with(|| Image::open(path).map(Rc::new)).clone()
    }
}

/// The code mapped into one process. A copy, as fork makes one, costs nothing.
#[derive(Clone, Default)]
pub(crate) struct AddressSpace(Rc<Code>);

/// A line of the program's own source, and the function names outwards to `main`.
type Trace = (Option<SourceLine>, Stack);

#[derive(Default)]
struct Code {
    unwinder: UnwinderX86_64<Section>,
    modules: Vec<(Range<u64>, u64, Rc<Image>)>,
    /// How to unwind the instructions met so far.
    rules: RefCell<CacheX86_64>,
    /// What the stacks met so far mean. Few calls come from a stack that is new.
    traces: RefCell<HashMap<Vec<u64>, Trace>>,
    /// The last way up from an instruction, a stack and a frame pointer: a call in a loop goes it again.
    walks: RefCell<HashMap<(u64, u64, u64), Walk>>,
}

/// One way up a stack. It depends on nothing but the words met on it.
struct Walk {
    /// Bytes of the stack that it goes through.
    reach: usize,
    met: Vec<(u64, u64)>,
    trace: Trace,
}

impl Walk {
    fn is_same(&self, words: &mut Words) -> bool {
        self.met.iter().all(|(address, word)| words.at(*address) == Some(*word))
    }
}

/// The words of a thread's stack, and what was met of them.
struct Words {
    tid: i32,
    /// Where the bytes begin.
    from: u64,
    bytes: Vec<u8>,
    met: Vec<(u64, u64)>,
    /// One could not be read.
    missed: bool,
}

impl Words {
    fn at(&mut self, address: u64) -> Option<u64> {
        let wanted = address.saturating_sub(self.from).saturating_add(8);
        // Page by page, as far as the frames go: whoever reads on beyond the stack may reach, and so make, a page
        // of another mapping, and the program would find it touched.
        while (self.bytes.len() as u64) < wanted && wanted <= STACK_KEPT {
            let next = self.from + self.bytes.len() as u64;
            let page = memory::read(self.tid, next, (PAGE - next % PAGE) as usize);
            if page.is_empty() {
                break;
            }
            self.bytes.extend(page);
        }
        let within = address
            .checked_sub(self.from)
            .and_then(|at| self.bytes.get(at as usize..at as usize + 8))
            .and_then(|b| b.try_into().ok())
            .map(u64::from_le_bytes);
        let word = within.or_else(|| memory::word(self.tid, address));
        self.missed |= word.is_none();
        self.met.extend(word.map(|word| (address, word)));
        word
    }

    fn into_walk(self, trace: Trace) -> Walk {
        let above = |(address, _): &(u64, u64)| address.saturating_sub(self.from) as usize + 8;
        let reach = self.met.iter().map(above).max().unwrap_or(0).min(self.bytes.len());
        Walk { reach, met: self.met, trace }
    }
}

/// Remembers one more, but not too many.
fn keep<K: Eq + std::hash::Hash, V>(known: &mut HashMap<K, V>, key: K, value: V) {
    if known.len() >= TRACES {
        known.clear();
    }
    known.insert(key, value);
}

/// Where execution starts after exec: breakpoints that tell the loader and runtime from the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    /// The program's own `main`, or the ELF entry where the symbol table has none.
    pub(crate) address: u64,
}

impl AddressSpace {
    /// Reads the process's map anew.
    pub(crate) fn reload(&mut self, pid: i32, images: &mut Images, program: &File) {
        let mut code = Code::default();
        for region in process_files::regions(pid).into_iter().filter(|r| r.executable && r.inode != 0) {
            let Some(image) = images.get(&region, program) else { continue };
            let Some(bias) = image.bias(&region) else { continue };
            let range = region.start..region.end;
            code.unwinder.add_module(Module::new(region.path.clone(), range.clone(), bias, &*image));
            code.modules.push((range, bias, image));
        }
        self.0 = Rc::new(code);
    }

    /// Where the program in this address space begins.
    pub(crate) fn beginning(&self) -> Option<Beginning> {
        // At exec only the program and its interpreter are mapped; the program comes first.
        let (_, bias, image) = self.0.modules.first()?;
        let address = image.main.unwrap_or(image.entry);
        (address != 0).then(|| Beginning { address: bias.wrapping_add(address) })
    }

    /// Reads line and symbol tables now rather than at the first call.
    pub(crate) fn warm_up(&self) {
        for (_, _, image) in &self.0.modules {
            image.places(image.main.unwrap_or(image.entry));
        }
    }

    fn module(&self, address: u64) -> Option<&(Range<u64>, u64, Rc<Image>)> {
        self.0.modules.iter().find(|(range, ..)| range.contains(&address))
    }

    /// Whether an address lies in code that is mapped from a file.
    pub(crate) fn is_code(&self, address: u64) -> bool {
        self.module(address).is_some()
    }

    /// The innermost line of the program's own source, and the function names outwards to `main`.
    pub(crate) fn trace(
        &mut self,
        pid: i32,
        tid: i32,
        (ip, sp, bp): (u64, u64, u64),
        images: &mut Images,
        program: &File,
    ) -> Trace {
        if self.module(ip).is_none() {
            self.reload(pid, images, program);
        }
        let pointers = (ip, sp, bp);
        let walks = self.0.walks.borrow();
        let known = walks.get(&pointers);
        let bytes = known.map_or_else(Vec::new, |walk| memory::read(tid, sp, walk.reach));
        let mut words = Words { tid, from: sp, bytes, met: Vec::new(), missed: false };
        if let Some(walk) = known.filter(|walk| walk.is_same(&mut words)) {
            return walk.trace.clone();
        }
        drop(walks);
        words.met.clear();
        let trace = self.walk(pointers, &mut words);
        if !words.missed {
            keep(&mut self.0.walks.borrow_mut(), pointers, words.into_walk(trace.clone()));
        }
        trace
    }

    /// Unwinds a stack, and finds out what it means.
    fn walk(&self, (ip, sp, bp): (u64, u64, u64), words: &mut Words) -> Trace {
        let mut read_stack = |address: u64| words.at(address).ok_or(());
        let mut frames = Vec::new();
        {
            let (code, registers) = (&*self.0, UnwindRegsX86_64::new(ip, sp, bp));
            let mut rules = code.rules.borrow_mut();
            let mut iterator = code.unwinder.iter_frames(ip, registers, &mut rules, &mut read_stack);
            while frames.len() < DEPTH {
                match iterator.next() {
                    Ok(Some(FrameAddress::InstructionPointer(address))) => frames.push(address),
                    Ok(Some(FrameAddress::ReturnAddress(address))) => frames.push(address.get() - 1),
                    _ => break,
                }
            }
        }
        if let Some(known) = self.0.traces.borrow().get(&frames) {
            return known.clone();
        }
        let trace = self.meaning(&frames);
        keep(&mut self.0.traces.borrow_mut(), frames, trace.clone());
        trace
    }

    fn meaning(&self, frames: &[u64]) -> Trace {
        let mut line = None;
        let mut functions = Vec::new();
        for address in frames.iter().copied() {
            let Some((_, bias, image)) = self.module(address) else { continue };
            for place in image.places(address.wrapping_sub(*bias)).iter() {
                if line.is_none() {
                    line.clone_from(&place.own);
                }
                let ended = place.own.is_some() && (place.function == "main" || place.function.ends_with("::main"));
                if !place.function.is_empty() {
                    functions.push(place.function.clone());
                }
                if ended {
                    return (line, functions.into());
                }
            }
        }
        (line, functions.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody can go to line 0 of a file.
    #[test]
    fn instructions_without_a_line_are_at_the_line_before() {
        let image = Image::open("/proc/self/exe".into()).expect("an image");
        let lines = image.lines.as_ref().expect("line tables");
        let (text, _) = &image.sections[".text".as_bytes()];
        let rows = lines.find_location_range(text.start, text.end).expect("rows");
        let without = |(_, _, l): &(u64, u64, addr2line::Location<'_>)| l.line.is_none() && l.file.is_some_and(is_own);
        let without: Vec<u64> = rows.filter(without).map(|(row, ..)| row).take(200).collect();
        let told = |row: &u64| Some((*row, image.places(*row).first()?.own.clone()?));
        let told: Vec<(u64, SourceLine)> = without.iter().filter_map(told).collect();
        assert!(told.len() * 2 > without.len(), "{} of {} have a line of this crate's", told.len(), without.len());
        for (row, line) in told {
            let begin = lines.find_symbol_info(row).expect("a function").address();
            let mut before = lines.find_location_range(begin, row).expect("rows").map(|(row, ..)| row);
            let is_there = before.any(|row| frames_at(lines, row).iter().any(|(_, at)| at.as_ref() == Some(&line)));
            assert!(is_there, "{row:#x} is not at {line}");
        }
    }
}
