//! The sorted extent table a device's requests are looked up in, and the counters of its cells.

use crate::bucket::COARSE_BUCKETS;

/// The most extents of one table: twenty steps of a binary search.
pub const MAX_EXTENTS: usize = 1 << 20;

/// The most extents one request is attributed to; what it touches beyond is counted as unattributed.
pub const MAX_EXTENTS_PER_REQUEST: u32 = 512;

/// The most cells (sets of counters) of one device. A file with more extents shares cells between
/// neighbours: extent `i` counts in cell `i >> shift`.
pub const MAX_CELLS: usize = 1 << 16;

/// Head of an extent table: entry 0 of its map. The starts follow, from entry 1 on.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TableHead {
    /// How many extents follow.
    pub count: u32,
    /// Extent `i` counts in cell `i >> shift`.
    pub shift: u32,
}

const _: () = assert!(size_of::<TableHead>() == size_of::<u64>());

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

// SAFETY: both are `repr(C)`, integers only, no padding (asserted above).
#[cfg(feature = "user")]
unsafe impl aya::Pod for TableHead {}
// SAFETY: as above.
#[cfg(feature = "user")]
unsafe impl aya::Pod for ExtentCell {}
