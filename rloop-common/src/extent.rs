//! The sorted extent table a device's requests are looked up in, and the counters of its cells.

use crate::bucket::COARSE_BUCKETS;

/// Starts in one [`Leaf`] of a table.
pub const LEAF: usize = 1 << 10;

/// The most extents of one table: as many leaves as a leaf has starts.
pub const MAX_EXTENTS: usize = LEAF * LEAF;

/// The most extents one request is attributed to; what it touches beyond is counted as unattributed.
pub const MAX_EXTENTS_PER_REQUEST: u32 = 512;

/// The most cells (sets of counters) of one device. A file with more extents shares cells between
/// neighbours: extent `i` counts in cell `i >> shift`.
pub const MAX_CELLS: usize = 1 << 16;

/// A part of an extent table, in bytes; what is not used is [`END`].
///
/// Value 0 of a table's map is its root: at place `i` the first start of leaf `i`, and at place 0, where
/// a search never looks, the [`TableHead`]. The leaves follow, from value 1 on. So a search takes two
/// look-ups and twenty comparisons, however many extents there are.
pub type Leaf = [u64; LEAF];

/// A start that no request reaches.
pub const END: u64 = u64::MAX;

/// What is known of an extent table as a whole.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TableHead {
    /// How many extents it has.
    pub count: u32,
    /// Extent `i` counts in cell `i >> shift`.
    pub shift: u16,
    /// Where in a leaf a search begins: at 0. The probes read it, because the verifier would follow a
    /// million paths from a number that it knows.
    pub first: u16,
}

const _: () = assert!(size_of::<TableHead>() == size_of::<u64>());

impl TableHead {
    /// As it stands in the root.
    pub const fn to_bits(self) -> u64 {
        self.count as u64 | (self.shift as u64) << 32 | (self.first as u64) << 48
    }

    /// Back from the root.
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            count: bits as u32,
            shift: (bits >> 32) as u16,
            first: (bits >> 48) as u16,
        }
    }
}

/// Where a byte lies in an extent table.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Found {
    /// The number of the table.
    pub generation: u32,
    /// The extent.
    pub extent: u32,
    /// Where it starts, in bytes.
    pub start: u64,
    /// Where the one after it starts.
    pub next: u64,
    /// Extent `i` counts in cell `i >> shift`.
    pub shift: u64,
}

const _: () = assert!(size_of::<Found>() == 32);

/// Counters of one cell.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ExtentCell {
    /// Reads that touched the extent.
    pub reads: u64,
    /// Writes that touched it.
    pub writes: u64,
    /// Bytes read from it.
    pub read_bytes: u64,
    /// Bytes written to it.
    pub write_bytes: u64,
    /// The longest request that touched it, nanoseconds.
    pub max_ns: u64,
    /// Latency of the requests that touched it, [`Coarse`](crate::bucket::Coarse) buckets.
    pub latency: [u32; COARSE_BUCKETS],
}

const _: () = assert!(size_of::<ExtentCell>() == 40 + 4 * COARSE_BUCKETS);

// SAFETY: `repr(C)`, integers only, no padding (asserted above); any bit pattern is valid.
#[cfg(feature = "user")]
unsafe impl aya::Pod for ExtentCell {}
