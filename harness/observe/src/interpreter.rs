//! The program interpreter: whom the kernel starts in an executable's place, by the path in its `PT_INTERP` segment.

use std::fs::File;

use object::elf::{FileHeader64, PT_INTERP};
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader};

/// Characters of the path that are shown.
const SHOWN: usize = 100;

/// The interpreter of this executable, unless it is the harness's own too: that one is known to be there.
pub(crate) fn of_its_own(program: &File) -> Option<String> {
    let named = segment(program)?;
    let usual = File::open("/proc/self/exe").ok().and_then(|own| segment(&own));
    (usual.as_ref() != Some(&named)).then(|| shown(&named))
}

/// The whole segment: what follows the path is the kernel's business too.
fn segment(executable: &File) -> Option<Vec<u8>> {
    let data = &ReadCache::new(executable);
    let header = FileHeader64::<object::Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    let interpreter = segments.iter().find(|segment| segment.p_type(endian) == PT_INTERP)?;
    Some(interpreter.data(endian, data).ok()?.to_vec())
}

fn shown(segment: &[u8]) -> String {
    let path = segment.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(path).chars().flat_map(char::escape_debug).take(SHOWN).collect()
}
