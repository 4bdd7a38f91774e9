//! Where the running kernel keeps the fields of its structures, read from its BTF.
//!
//! Covers the kernel proper and its modules (whose "split" BTF continues the kernel's numbering). Only
//! what the probes need is decoded: members of named structures, and enumerators.
//! Format: the kernel's `Documentation/bpf/btf.rst`.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::Path,
};

/// Where the kernel tells its types, a file for each module.
pub(crate) const FOLDER: &str = "/sys/kernel/btf";
/// What the kernel puts before a tracepoint's name for the type of its arguments.
const TRACEPOINT: &str = "btf_trace_";
const HEADER_BYTES: usize = 24;
const MAGIC: u16 = 0xeb9f;

const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_ENUM64: u32 = 19;

/// The types of the kernel and of those of its modules that were asked for.
pub struct Btf {
    parts: Vec<Part>,
}

/// One BTF blob.
struct Part {
    bytes: Vec<u8>,
    /// Where each type's record starts in `bytes`.
    records: Vec<usize>,
    /// Number of the first of them.
    first_type: u32,
    /// Where the strings start in `bytes`.
    strings: usize,
    /// The offset that the first string has in names.
    first_string: u32,
    string_bytes: u32,
    /// Record index of every structure with a name and a body.
    structs: HashMap<String, usize>,
}

impl Btf {
    /// Reads the kernel's BTF, and that of `modules` as far as they are loaded and have one.
    pub fn read(modules: &[&str]) -> io::Result<Self> {
        let folder = Path::new(FOLDER);
        let kernel = Part::parse(fs::read(folder.join("vmlinux"))?, 1, 0)?;
        let first_type = kernel.first_type + kernel.records.len() as u32;
        let first_string = kernel.string_bytes;
        let mut parts = vec![kernel];
        for module in modules {
            if let Ok(bytes) = fs::read(folder.join(module)) {
                parts.push(Part::parse(bytes, first_type, first_string)?);
            }
        }
        Ok(Self { parts })
    }

    /// Byte offset of a member; members of anonymous structures and unions inside count as its own.
    pub fn offset(&self, structure: &str, member: &str) -> Option<u32> {
        self.parts.iter().find_map(|part| {
            let record = *part.structs.get(structure)?;
            self.member_bits(part, record, member).map(|bits| bits / 8)
        })
    }

    /// Size of a structure in bytes.
    pub fn size(&self, structure: &str) -> Option<u32> {
        self.parts.iter().find_map(|part| {
            part.structs
                .get(structure)
                .map(|&record| part.word(part.records[record] + 8))
        })
    }

    /// Value of an enumerator.
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        self.parts.iter().find_map(|part| {
            part.records.iter().find_map(|&at| {
                if part.kind(at) != KIND_ENUM {
                    return None;
                }
                (0..part.vlen(at))
                    .map(|i| at + 12 + 8 * i)
                    .find(|&entry| self.name(part, part.word(entry)) == name)
                    .map(|entry| part.word(entry + 4))
            })
        })
    }

    /// Names of all tracepoints that programs can be attached to.
    pub fn tracepoints(&self) -> HashSet<&str> {
        let names = self.parts.iter().flat_map(|part| {
            let types = part
                .records
                .iter()
                .filter(|&&at| part.kind(at) == KIND_TYPEDEF);
            types.map(|&at| self.name(part, part.word(at)))
        });
        names
            .filter_map(|name| name.strip_prefix(TRACEPOINT))
            .collect()
    }

    fn member_bits(&self, part: &Part, record: usize, member: &str) -> Option<u32> {
        let at = part.records[record];
        let bitfields = part.word(at + 4) >> 31 == 1;
        (0..part.vlen(at))
            .map(|i| at + 12 + 12 * i)
            .find_map(|entry| {
                let raw = part.word(entry + 8);
                let bits = if bitfields { raw & 0x00ff_ffff } else { raw };
                let name = self.name(part, part.word(entry));
                if name == member {
                    return Some(bits);
                }
                if !name.is_empty() {
                    return None;
                }
                let (inner_part, inner) = self.aggregate(part, part.word(entry + 4))?;
                Some(bits + self.member_bits(inner_part, inner, member)?)
            })
    }

    /// The structure or union behind a type number, through qualifiers.
    fn aggregate<'a>(&'a self, from: &'a Part, mut id: u32) -> Option<(&'a Part, usize)> {
        loop {
            let part = if id >= from.first_type {
                from
            } else {
                &self.parts[0]
            };
            let record = id.checked_sub(part.first_type)? as usize;
            let at = *part.records.get(record)?;
            match part.kind(at) {
                KIND_STRUCT | KIND_UNION => return Some((part, record)),
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST => id = part.word(at + 8),
                _ => return None,
            }
        }
    }

    fn name<'a>(&'a self, part: &'a Part, offset: u32) -> &'a str {
        if offset >= part.first_string {
            part.name(offset)
        } else {
            self.parts[0].name(offset)
        }
    }
}

impl Part {
    fn parse(bytes: Vec<u8>, first_type: u32, first_string: u32) -> io::Result<Self> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's BTF is damaged");
        if bytes.len() < HEADER_BYTES || u16::from_le_bytes([bytes[0], bytes[1]]) != MAGIC {
            return Err(damaged());
        }
        let mut part = Self {
            bytes,
            records: Vec::new(),
            first_type,
            strings: 0,
            first_string,
            string_bytes: 0,
            structs: HashMap::new(),
        };
        let header = part.word(4) as usize;
        let types = header + part.word(8) as usize;
        let types_end = types + part.word(12) as usize;
        part.strings = header + part.word(16) as usize;
        part.string_bytes = part.word(20);
        if types_end > part.bytes.len()
            || part.strings + part.string_bytes as usize > part.bytes.len()
        {
            return Err(damaged());
        }
        let mut at = types;
        while at + 12 <= types_end {
            part.records.push(at);
            if part.kind(at) == KIND_STRUCT && part.vlen(at) > 0 {
                let name = part.word(at);
                if name >= first_string {
                    part.structs
                        .entry(part.name(name).to_owned())
                        .or_insert(part.records.len() - 1);
                }
            }
            at += 12 + part.tail_bytes(at);
        }
        if at == types_end {
            Ok(part)
        } else {
            Err(damaged())
        }
    }

    /// Length of what follows a type's record.
    fn tail_bytes(&self, at: usize) -> usize {
        match self.kind(at) {
            KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
            KIND_ARRAY => 12,
            KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * self.vlen(at),
            KIND_ENUM | KIND_FUNC_PROTO => 8 * self.vlen(at),
            _ => 0,
        }
    }

    fn kind(&self, at: usize) -> u32 {
        self.word(at + 4) >> 24 & 0x1f
    }

    fn vlen(&self, at: usize) -> usize {
        (self.word(at + 4) & 0xffff) as usize
    }

    /// A little-endian word; zero past the end.
    fn word(&self, at: usize) -> u32 {
        self.bytes
            .get(at..at + 4)
            .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn name(&self, offset: u32) -> &str {
        let start = self.strings + (offset - self.first_string) as usize;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let end = rest.iter().position(|&b| b == 0).unwrap_or(0);
        std::str::from_utf8(&rest[..end]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_fields_of_the_running_kernel() {
        let Ok(btf) = Btf::read(&["loop", "ext4", "xfs"]) else {
            println!("skipped: this kernel has no BTF");
            return;
        };
        assert_eq!(btf.offset("request", "q"), Some(0));
        assert!(btf.offset("request", "__sector").is_some());
        assert!(btf.offset("request", "no_such_member").is_none());
        assert!(btf.offset("no_such_struct", "q").is_none());
        assert!(btf.size("request").is_some_and(|size| size > 128));
        assert!(btf.enumerator("__REQ_PREFLUSH").is_some());
        let tracepoints = btf.tracepoints();
        assert!(tracepoints.contains("block_rq_issue") && !tracepoints.contains("request"));
    }

    #[test]
    fn damaged_input_is_an_error() {
        assert!(Part::parse(vec![0; 64], 1, 0).is_err());
        assert!(Part::parse(vec![], 1, 0).is_err());
        let mut cut = fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
        cut.truncate(cut.len() / 2);
        assert!(Part::parse(cut, 1, 0).is_err());
    }
}
