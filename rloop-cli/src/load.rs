//! What the program's own loads on devices are made of.

/// Alignment of everything, bytes: direct I/O asks for it on any disk.
pub(crate) const BLOCK: usize = 4096;

/// A buffer that starts at a multiple of [`BLOCK`].
pub(crate) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
}

impl Aligned {
    /// With room for `len` bytes.
    pub(crate) fn new(len: usize) -> Self {
        let bytes = vec![0xA5; len + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK);
        Self { bytes, start }
    }

    /// The first `len` bytes of it.
    pub(crate) fn get(&mut self, len: usize) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + len]
    }
}

/// xorshift64: any spread of addresses will do. It starts anywhere but at 0.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
