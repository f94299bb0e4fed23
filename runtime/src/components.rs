//! What the program is made of: a list of crates that it carries in itself.
//!
//! `build.rs` makes the list; `xetl-runtime components` prints it, and whoever packs the program
//! finds it in the file, also in one for another machine. It is true of a program built by
//! itself (`make runtime`); one built with the whole workspace may hold more features of them.

use std::io::{self, Write};

/// Print what this program is built from: name, version, licence, repository
#[derive(clap::Args, Debug)]
pub struct ComponentsArgs {}

/// The list begins where a page of the file does, so that it is found without reading all.
const PAGE: usize = 4096;
const MAGIC: [u8; 16] = *b"\x7fxetl-components";
const LIST: &str = include_str!(concat!(env!("OUT_DIR"), "/components.tsv"));

#[repr(C, align(4096))]
struct Embedded {
    magic: [u8; MAGIC.len()],
    length: [u8; 8],
    list: [u8; LIST.len()],
}

// Kept whole, as `find` needs its head, which the program itself never reads.
#[used]
static EMBEDDED: Embedded = Embedded {
    magic: MAGIC,
    length: (LIST.len() as u64).to_le_bytes(),
    list: *include_bytes!(concat!(env!("OUT_DIR"), "/components.tsv")),
};

/// A crate, or the compiler with its library (`rust`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    pub name: String,
    pub version: String,
    /// SPDX, where it says one.
    pub licence: Option<String>,
    pub repository: Option<String>,
}

pub fn run(_: &ComponentsArgs) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(&EMBEDDED.list)?;
    out.flush()
}

/// What a program's file says it is made of; `None` where it says nothing.
pub fn find(program: &[u8]) -> Option<Vec<Component>> {
    let page = (0..program.len()).step_by(PAGE);
    let mut lists = page.filter_map(|start| program[start..].strip_prefix(&MAGIC));
    let list = lists.find_map(|rest| {
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        std::str::from_utf8(rest.get(..length)?).ok()
    })?;
    let components: Vec<Component> = list.lines().filter_map(component).collect();
    (!components.is_empty()).then_some(components)
}

fn component(line: &str) -> Option<Component> {
    let mut fields = line.split('\t').map(str::to_owned);
    let (name, version) = (fields.next()?, fields.next()?);
    let mut rest = fields.map(|field| Some(field).filter(|field| !field.is_empty()));
    Some(Component {
        name,
        version,
        licence: rest.next().flatten(),
        repository: rest.next().flatten(),
    })
}

/// A program's file with this list in it, as a test of packing needs one.
#[doc(hidden)]
pub fn embedded_in(program: &[u8], list: &str) -> Vec<u8> {
    let mut file = program.to_vec();
    file.resize(program.len().next_multiple_of(PAGE), 0);
    file.extend(MAGIC);
    file.extend((list.len() as u64).to_le_bytes());
    file.extend(list.as_bytes());
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_tells_what_is_in_it() {
        let file = embedded_in(
            b"code",
            "rust\t1.95.0\nserde\t1.0.1\tMIT\thttps://serde.rs\n",
        );
        let found = find(&file).unwrap();
        assert_eq!(found[0].version, "1.95.0");
        assert_eq!(found[0].licence, None);
        assert_eq!(found[1].name, "serde");
        assert_eq!(found[1].licence.as_deref(), Some("MIT"));
    }

    #[test]
    fn a_program_without_a_list_or_with_half_of_one_tells_nothing() {
        let file = embedded_in(b"code", "serde\t1.0.1\tMIT\t\n");
        for length in [0, 4, 4096 + 8, 4096 + 20, file.len() - 1] {
            assert_eq!(find(&file[..length]), None, "{length}");
        }
        assert_eq!(find(&embedded_in(b"", "")), None);
    }

    #[test]
    fn the_list_of_this_build_holds_what_it_is_linked_from_and_no_path() {
        let names: Vec<_> = LIST.lines().filter_map(component).collect();
        let has = |name: &str| names.iter().any(|it| it.name == name);
        assert!(has("rust") && has("xetl-runtime") && has("parquet"));
        // A macro and a tool of the tests are not in the program.
        assert!(!has("serde_derive") && !has("wiremock"));
        assert!(!LIST.contains(env!("CARGO_MANIFEST_DIR")) && !LIST.contains("(/"));
    }

    #[test]
    fn the_file_that_runs_this_test_carries_its_list() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(find(&own).is_some_and(|found| found.len() > 50));
    }
}
