//! What the exercises share that leave an image of physical memory: how it is loaded, and how a walk through it is told.

use machine::{End, Machine, MachineError, Outcome, Paging, SoftwareMmu, Step, Walk};
use observe::{Exit, InputFile};

use crate::spec::common::text::complaints;
use crate::spec::common::{endings, output};
use crate::{Failure, Finding, Objection, Plan, Reason, Run};

/// The name under which every plan asks for an image.
pub const IMAGE: &str = "image";

/// `image`: the program ends well, and has made the image.
pub fn made(run: &Run) -> Finding {
    output(run)?;
    match run.seen.file(IMAGE) {
        Some(_) => Ok(()),
        None => {
            let words = format!("The program exited with 0, but there is no file {IMAGE}.");
            Failure::new(Reason::WrongState, words).evidence(endings::command_line(run)).found()
        }
    }
}

/// The same where an earlier run has left an image, larger than this one.
pub fn over_another(plan: &Plan) -> Plan {
    let older = InputFile::new(IMAGE, vec![0x5a; 1 << 20]);
    plan.again("over an older image", &plan.checks).file(older).because("When there is an older and longer IMAGE")
}

/// A machine whose memory is the image, and nothing behind it.
pub fn loaded(run: &Run) -> Result<SoftwareMmu, Objection> {
    let image = run.seen.file(IMAGE).filter(|_| run.seen.exit() == Some(Exit::Code(0)));
    let image = image.ok_or_else(|| Objection::open("there is no image"))?;
    let mut machine = SoftwareMmu::new(image.bytes.len(), machine::Processor::default());
    machine.load(&image.bytes).map_err(broken)?;
    Ok(machine)
}

/// A machine that cannot answer says nothing of the image.
pub fn broken(error: MachineError) -> Objection {
    Objection::unavailable(error.to_string())
}

/// What the processor says beside the software.
#[derive(Default)]
pub struct Opinion {
    answers: u32,
    last: Option<MachineError>,
}

impl Opinion {
    /// What the processor makes of an access, if that is not what was wanted. Where it differs from the software, the
    /// image is not to blame but one of the machines, and the check cannot be made.
    pub fn differs(
        &mut self,
        by_processor: Result<Outcome, MachineError>,
        by_software: Outcome,
        wanted: Outcome,
    ) -> Result<Option<Outcome>, Objection> {
        match by_processor {
            Err(error) => self.last = Some(error),
            Ok(outcome) if outcome != by_software => {
                let words = format!("KVM does here what the manual does not say: {outcome} instead of {by_software}");
                return Err(Objection::unavailable(words));
            }
            Ok(outcome) if outcome != wanted => return Ok(Some(outcome)),
            Ok(_) => self.answers += 1,
        }
        Ok(None)
    }

    /// Whether there was an answer at all.
    pub fn given(self) -> Finding {
        match (self.answers, self.last) {
            (0, Some(error)) => Err(broken(error)),
            (0, None) => Err(Objection::open("there was nothing to ask the processor")),
            _ => Ok(()),
        }
    }
}

/// `refuses`: what is wrong in REQUESTS is told with its line, and there is no image.
pub fn refuses(run: &Run) -> Finding {
    endings::ended(run)?;
    endings::status(run)?;
    let wrong = |message: String| {
        let failure = Failure::new(Reason::WrongOutput, message).evidence(endings::command_line(run));
        failure.evidences(complaints(run.seen)).found()
    };
    let number = run.plan.expect.object.clone().unwrap_or_default();
    let stderr = run.seen.stderr.text();
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let named = |line: &str| line.split(|c: char| !c.is_ascii_digit()).any(|word| word == number);
    match lines.as_slice() {
        [line] if named(line) => {}
        [line] => return wrong(format!("The message `{}` does not name line {number}, which is wrong.", line.trim())),
        [] => return wrong(format!("Standard error says nothing of line {number}, which is wrong.")),
        more => return wrong(format!("Standard error has {} lines instead of one.", more.len())),
    }
    if run.seen.file(IMAGE).is_some() {
        return wrong(format!("An image was made although line {number} is wrong: it would pass for what was asked."));
    }
    Ok(())
}

/// A plan whose REQUESTS is wrong in this line.
pub fn refused(plan: Plan, line: usize) -> Plan {
    let mut plan = plan.exits(1).at(crate::Stage::Refusal).judged_by(&["refuses"]);
    plan.expect.object = Some(line.to_string());
    plan
}

/// The entries that an address met, a line each, and the end of it.
pub fn told(walk: &Walk, paging: &Paging, address: u64) -> Vec<String> {
    let mut lines: Vec<String> = walk.steps.iter().enumerate().map(|(depth, step)| entry(depth, step)).collect();
    let indent = "   ".repeat(walk.steps.len());
    lines.push(match walk.end {
        End::Page(page) => {
            let offset = address & (page.size - 1);
            format!("{indent}└ frame {:#x} + {offset:#x} = {:#x}", page.base, page.base | offset)
        }
        End::Absent => format!("{indent}└ not present: page fault"),
        End::Reserved => format!("{indent}└ a reserved bit is set: page fault"),
        End::NotCanonical => {
            format!("{indent}└ not canonical: no address at all ({} levels)", paging.scheme.levels().len())
        }
        End::NoMemory { physical } => format!("{indent}└ its entry would be at {physical:#x}: behind the image's end"),
    });
    lines
}

fn entry(depth: usize, step: &Step) -> String {
    let indent = "   ".repeat(depth);
    let (name, index, at, entry) = (step.level.name(), step.index, step.at, step.entry);
    format!("{indent}└ {name}, entry {index} at {at:#x}: {:#x} {}", entry.0, entry.letters())
}

/// An address as bits, cut into the parts that choose an entry at each level and, at the end, a byte of the page.
pub fn split(walk: &Walk, paging: &Paging, address: u64) -> Vec<String> {
    let scheme = paging.scheme;
    let bits = scheme.index_bits() as usize;
    // A large page ends the walk early, and has the bits of the levels below for its bytes.
    let depth = if matches!(walk.end, End::Page(_)) { walk.steps.len() } else { scheme.levels().len() };
    let offset = 12 + bits * (scheme.levels().len() - depth);
    let entries = scheme.levels()[..depth].iter().map(|level| {
        let index = level.index(scheme, address);
        (format!("{index:0bits$b}"), format!("{:^bits$}", format!("entry {index}")))
    });
    let byte = address & ((1 << offset) - 1);
    let byte = (format!("{byte:0offset$b}"), format!("{:^offset$}", format!("byte {byte:#x}")));
    let (bits, words): (Vec<String>, Vec<String>) = entries.chain([byte]).unzip();
    vec![format!("= {}", bits.join(" ")), format!("  {}", words.join(" ").trim_end())]
}
