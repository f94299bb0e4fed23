//! Whether a file can be an image's only program: ELF, of the machine, nothing to load beside it.

use serde::{Deserialize, Serialize};

/// What a program runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// What Cloud Run has.
    Amd64,
    Arm64,
}

impl Machine {
    /// As images name it.
    pub fn name(self) -> &'static str {
        match self {
            Machine::Amd64 => "amd64",
            Machine::Arm64 => "arm64",
        }
    }

    /// As ELF files name it.
    fn number(self) -> u16 {
        match self {
            Machine::Amd64 => 62,
            Machine::Arm64 => 183,
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Machine::Amd64 => "x86-64, which Cloud Run wants",
            Machine::Arm64 => "arm64",
        })
    }
}

/// Why a binary cannot run alone in an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRunnable {
    #[error("it is no Linux executable")]
    NotElf,
    #[error("it is not built for {0}")]
    OtherMachine(Machine),
    #[error("it is linked dynamically, and the image holds no loader and no libraries")]
    Dynamic,
    #[error("it is a library or an object file")]
    NotExecutable,
    #[error("it is cut off")]
    CutOff,
}

const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;

/// Accepts static executables of the machine, position-independent or not.
pub fn check(binary: &[u8], machine: Machine) -> Result<(), NotRunnable> {
    // Magic, 64 bit, little endian.
    if !binary.starts_with(b"\x7fELF\x02\x01") {
        return Err(if binary.starts_with(b"\x7fELF") {
            NotRunnable::OtherMachine(machine)
        } else {
            NotRunnable::NotElf
        });
    }
    if u16_at(binary, 18)? != machine.number() {
        return Err(NotRunnable::OtherMachine(machine));
    }
    let entry = u64_at(binary, 24)?;
    if ![ET_EXEC, ET_DYN].contains(&u16_at(binary, 16)?) || entry == 0 {
        return Err(NotRunnable::NotExecutable);
    }
    for segment in segments(binary)? {
        match u32_at(segment, 0)? {
            PT_INTERP => return Err(NotRunnable::Dynamic),
            PT_DYNAMIC if needs_libraries(binary, segment)? => return Err(NotRunnable::Dynamic),
            _ => {}
        }
    }
    Ok(())
}

fn segments(binary: &[u8]) -> Result<impl Iterator<Item = &[u8]>, NotRunnable> {
    let start = offset(u64_at(binary, 32)?)?;
    let size = usize::from(u16_at(binary, 54)?);
    let count = usize::from(u16_at(binary, 56)?);
    let end = start.checked_add(size * count).ok_or(NotRunnable::CutOff)?;
    let table = binary.get(start..end).ok_or(NotRunnable::CutOff)?;
    Ok(table.chunks(size.max(1)))
}

fn needs_libraries(binary: &[u8], segment: &[u8]) -> Result<bool, NotRunnable> {
    let start = offset(u64_at(segment, 8)?)?;
    let end = start
        .checked_add(offset(u64_at(segment, 32)?)?)
        .ok_or(NotRunnable::CutOff)?;
    let entries = binary.get(start..end).ok_or(NotRunnable::CutOff)?;
    let tags = entries.chunks_exact(16).map(|entry| u64_at(entry, 0));
    for tag in tags {
        match tag? {
            DT_NULL => break,
            DT_NEEDED => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

fn offset(value: u64) -> Result<usize, NotRunnable> {
    usize::try_from(value).map_err(|_| NotRunnable::CutOff)
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], NotRunnable> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or(NotRunnable::CutOff)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, NotRunnable> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, NotRunnable> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, NotRunnable> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The smallest executable with these segments; it would end with status 0.
    pub fn executable(segments: &[(u32, &[u8])]) -> Vec<u8> {
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(16, 0);
        elf.extend(ET_EXEC.to_le_bytes());
        elf.extend(Machine::Amd64.number().to_le_bytes());
        elf.extend(1u32.to_le_bytes());
        elf.extend(0x0040_1000u64.to_le_bytes()); // entry
        elf.extend(64u64.to_le_bytes()); // program headers
        elf.extend([0; 8 + 4]);
        elf.extend(64u16.to_le_bytes());
        elf.extend(56u16.to_le_bytes());
        elf.extend(u16::try_from(segments.len()).unwrap().to_le_bytes());
        elf.resize(64, 0);
        let mut content = 64 + 56 * segments.len();
        for (kind, bytes) in segments {
            elf.extend(kind.to_le_bytes());
            elf.extend(5u32.to_le_bytes());
            elf.extend((content as u64).to_le_bytes());
            elf.extend([0; 16]);
            elf.extend((bytes.len() as u64).to_le_bytes());
            elf.extend([0; 16]);
            content += bytes.len();
        }
        for (_, bytes) in segments {
            elf.extend(*bytes);
        }
        elf
    }

    fn checked(binary: &[u8]) -> Result<(), NotRunnable> {
        check(binary, Machine::Amd64)
    }

    fn dynamic(tag: u64) -> Vec<u8> {
        let mut entries = Vec::new();
        entries.extend(tag.to_le_bytes());
        entries.extend([0; 24]);
        entries
    }

    #[test]
    fn a_static_executable_runs_alone() {
        assert_eq!(checked(&executable(&[(1, b"code")])), Ok(()));
    }

    #[test]
    fn a_static_position_independent_executable_runs_alone() {
        assert_eq!(checked(&executable(&[(PT_DYNAMIC, &dynamic(5))])), Ok(()));
    }

    #[test]
    fn a_loader_or_a_library_is_missing_in_the_image() {
        let interpreted =
            executable(&[(1, b"code"), (PT_INTERP, b"/lib64/ld-linux-x86-64.so.2\0")]);
        assert_eq!(checked(&interpreted), Err(NotRunnable::Dynamic));
        let linked = executable(&[(PT_DYNAMIC, &dynamic(DT_NEEDED))]);
        assert_eq!(checked(&linked), Err(NotRunnable::Dynamic));
    }

    #[test]
    fn another_machine_is_named() {
        let mut arm = executable(&[]);
        arm[18] = 183;
        assert_eq!(check(&arm, Machine::Arm64), Ok(()));
        assert_eq!(
            checked(&arm),
            Err(NotRunnable::OtherMachine(Machine::Amd64))
        );
    }

    #[test]
    fn scripts_and_cut_off_files_are_refused() {
        assert_eq!(checked(b"#!/bin/sh\n"), Err(NotRunnable::NotElf));
        assert_eq!(checked(b""), Err(NotRunnable::NotElf));
        let whole = executable(&[(PT_DYNAMIC, &dynamic(5))]);
        for length in 6..whole.len() {
            assert_eq!(
                checked(&whole[..length]),
                Err(NotRunnable::CutOff),
                "{length}"
            );
        }
    }

    #[test]
    fn the_program_that_runs_this_test_is_dynamic() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(checked(&own), Err(NotRunnable::Dynamic));
    }
}
