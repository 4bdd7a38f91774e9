// SPDX-License-Identifier: GPL-2.0

//! Who maps, and why nobody better: asks the filesystem where a range of the file lies, and puts the answer into the map.
//!
//! Only while the leases are held, and one at a time; see `extent::claims` for what may be inserted.

use kernel::{
    bindings,
    error::{to_result, Result},
    prelude::*,
};

use crate::{
    device::Device,
    extent::{map::Found, Extent, Range, State, MAX_BLOCK},
    module_parameters,
    policy::Leases,
    shim::{self, Mapping},
    trace,
};

/// Who maps. The numbers are those of `abi::PROVIDERS`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Provider {
    /// Nobody: all I/O goes through the filesystem.
    Vfs = 0,
    /// The filesystem, by block numbers.
    Bmap = 1,
    /// The filesystem, by layouts.
    Layout = 2,
}

/// Why nobody better maps. The numbers are those of `abi::REASONS`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Why {
    Best = 0,
    Starting,
    Recalled,
    OpenForWriting,
    Filesystem,
    Reflinked,
    NoDirectIo,
    Offset,
    Leases,
    NotPlain,
    BmapDisabled,
    Device,
    Error,
}

impl Why {
    /// Why the filesystem did not map.
    pub(crate) fn of(error: Error) -> Self {
        if error == ENXIO {
            Self::Reflinked
        } else {
            Self::Error
        }
    }

    /// Whether it may be otherwise in a while.
    pub(crate) fn passes(self) -> bool {
        matches!(
            self,
            Self::Starting
                | Self::Recalled
                | Self::OpenForWriting
                | Self::Reflinked
                | Self::NotPlain
                | Self::Error
        )
    }
}

/// How far ahead of what is wanted is asked, in bytes: one question costs as much as a small I/O.
const AHEAD: u64 = 1 << 20;
/// How many questions at most.
const QUESTIONS: usize = 64;

impl Device {
    /// Who could map this file, leases apart.
    pub(crate) fn best_provider(&self) -> core::result::Result<Provider, Why> {
        let backing = &self.backing;
        if self.options.offset % self.geometry.block_bytes() != 0 {
            return Err(Why::Offset);
        }
        if backing.is_special() {
            return Err(Why::NotPlain);
        }
        if !backing.direct {
            return Err(Why::NoDirectIo);
        }
        // SAFETY: The open file holds its filesystem.
        let layouts = unsafe { shim::rloop_has_layouts(backing.sb()) };
        let ext = [c"ext2", c"ext3", c"ext4"].contains(&backing.fs());
        if !layouts && !ext {
            return Err(Why::Filesystem);
        }
        if self.bdev.is_null() {
            return Err(Why::Device);
        }
        if layouts {
            return Ok(Provider::Layout);
        }
        if module_parameters::bmap.value() == 0 {
            return Err(Why::BmapDisabled);
        }
        Ok(Provider::Bmap)
    }

    /// Maps blocks, if that is possible now. Whether it has asked the filesystem.
    pub(crate) fn map_blocks(&self, blocks: Range) -> bool {
        let Some(blocks) = self.on_device(blocks) else {
            return false;
        };
        // Who takes them has `changing` for long.
        if !matches!(self.locked.lock().leases, Leases::Held(_)) {
            return false;
        }
        let _changing = self.changing.lock();
        let provider = {
            let mut locked = self.locked.lock();
            let Leases::Held(provider) = locked.leases else {
                return false;
            };
            locked.claims.open();
            provider
        };
        let mapped = match provider {
            Provider::Layout => self.ask_layout(blocks),
            Provider::Bmap => self.ask_bmap(blocks),
            Provider::Vfs => Ok(()),
        };
        self.locked.lock().claims.close();
        if let Err(why) = mapped {
            self.lose_leases(why);
        }
        true
    }

    /// The part of a range that lies on the device.
    fn on_device(&self, blocks: Range) -> Option<Range> {
        let sectors = u32::try_from(self.capacity()).unwrap_or(u32::MAX);
        let end = if sectors == u32::MAX {
            self.geometry.block(self.capacity()) + 1
        } else {
            self.geometry.blocks(0, sectors).end
        };
        let range = Range::new(blocks.start, blocks.end.min(end).min(MAX_BLOCK));
        (!range.is_empty()).then_some(range)
    }

    /// Asks a filesystem that has layouts; it answers an extent at a time.
    fn ask_layout(&self, blocks: Range) -> Result<(), Why> {
        let ahead = blocks.start + self.geometry.block_of(AHEAD);
        let goal = self.on_device(Range::new(blocks.start, ahead.max(blocks.end)));
        let goal = goal.map_or(blocks.end, |goal| goal.end);
        let mut block = blocks.start;
        for _ in 0..QUESTIONS {
            if block >= goal {
                break;
            }
            let known = self.map.lookup(block, &kernel::sync::rcu::read_lock());
            block = match known {
                Found::Extent(extent) => extent.end(),
                Found::Absent { .. } => self.ask_layout_at(block).map_err(Why::of)?,
            };
        }
        Ok(())
    }

    /// Asks about one block. Where its extent ends.
    fn ask_layout_at(&self, block: u64) -> Result<u64> {
        let end = self
            .on_device(Range::new(block, MAX_BLOCK))
            .map_or(block + 1, |range| range.end);
        let extent = self.layout_of(Range::new(block, end), false)?;
        if let Some(extent) = extent {
            self.insert(&extent);
            return Ok(extent.end().max(block + 1));
        }
        Ok(block + 1)
    }

    /// What the filesystem's layout says of the first part of a range; with `allocate`, it first gets
    /// blocks where it has none. `None` where it cannot be mapped.
    pub(crate) fn layout_of(&self, range: Range, allocate: bool) -> Result<Option<Extent>> {
        let geometry = &self.geometry;
        let (offset, length) = (
            geometry.bytes(range.start),
            geometry.bytes(range.end - range.start),
        );
        let mut answer = Mapping {
            offset: 0,
            length: 0,
            disk: 0,
            bdev: core::ptr::null_mut(),
            kind: 0,
            flags: 0,
        };
        // SAFETY: The filesystem has layouts, and we hold one.
        to_result(unsafe {
            shim::rloop_map_blocks(self.backing.inode(), offset, length, allocate, &mut answer)
        })?;
        let state = match answer.kind {
            shim::IOMAP_HOLE => State::Hole,
            shim::IOMAP_UNWRITTEN => State::Unwritten,
            shim::IOMAP_MAPPED => State::Written,
            _ => return Ok(None),
        };
        let mask = geometry.block_bytes() - 1;
        let blocks = state.has_blocks();
        if blocks && (answer.bdev != self.bdev || answer.disk & mask != 0) {
            return Ok(None);
        }
        let start = geometry.block_of(answer.offset + mask);
        let end = geometry
            .block_of(answer.offset + answer.length)
            .min(range.end);
        // The answer may reach back to before the question.
        if (answer.offset & mask) != 0 || start > range.start || end <= range.start {
            return Ok(None);
        }
        let disk = if blocks {
            geometry.block_of(answer.disk)
        } else {
            0
        };
        if disk >= MAX_BLOCK - (end - start) {
            return Ok(None);
        }
        let extent = Extent {
            start,
            len: end - start,
            disk,
            state,
        };
        Ok(Some(extent.part(Range::new(range.start, end))))
    }

    /// Asks a filesystem that tells block numbers, one block at a time.
    ///
    /// A number proves that the block is written. No number proves nothing by itself; with `SEEK_DATA`, which
    /// is exact while nobody but us writes, it proves a hole.
    fn ask_bmap(&self, blocks: Range) -> Result<(), Why> {
        // The file may have become one whose blocks are not its contents; that needs no open for writing.
        if self.backing.direct_io().map_err(Why::of)?.memory == 0 {
            return Err(Why::NotPlain);
        }
        if self.backing.is_special() {
            return Err(Why::NotPlain);
        }
        let window = self.geometry.block_of(AHEAD).max(1);
        let first = blocks.start - blocks.start % window;
        let last = (first + window).max(blocks.end);
        let Some(window) = self.on_device(Range::new(first, last)) else {
            return Ok(());
        };
        let mut block = window.start;
        while block < window.end {
            let known = self.map.lookup(block, &kernel::sync::rcu::read_lock());
            if let Found::Extent(extent) = known {
                block = extent.end();
                continue;
            }
            let run = self
                .bmap_run(Range::new(block, window.end))
                .map_err(Why::of)?;
            if let Some(extent) = &run {
                self.insert(extent);
            }
            block = run.map_or(block + 1, |extent| extent.end());
        }
        Ok(())
    }

    /// The extent that a range begins with, if it can be told.
    fn bmap_run(&self, range: Range) -> Result<Option<Extent>> {
        let disk = self.bmap(range.start)?;
        if disk == 0 {
            return self.hole_at(range.start);
        }
        let mut len = 1;
        while range.start + len < range.end && self.bmap(range.start + len)? == disk + len {
            len += 1;
        }
        if disk + len > MAX_BLOCK {
            return Ok(None);
        }
        Ok(Some(Extent {
            start: range.start,
            len,
            disk,
            state: State::Written,
        }))
    }

    /// The disk block of a file block; 0 if the filesystem tells none.
    fn bmap(&self, block: u64) -> Result<u64> {
        let mut sector = block;
        // SAFETY: The file is open.
        to_result(unsafe { bindings::bmap(self.backing.inode(), &mut sector) })?;
        Ok(sector)
    }

    /// The hole that begins at a block, if there is one.
    fn hole_at(&self, block: u64) -> Result<Option<Extent>> {
        let offset = self.geometry.bytes(block) as i64;
        // SAFETY: The file is open, and ours alone, its position included.
        let data = unsafe {
            bindings::vfs_llseek(self.backing.file(), offset, bindings::SEEK_DATA as i32)
        };
        let end = match u64::try_from(data) {
            Ok(data) => self.geometry.block_of(data),
            // No more data up to the file's end.
            Err(_) if data == -i64::from(bindings::ENXIO) => MAX_BLOCK,
            Err(_) => return Ok(None),
        };
        let Some(range) = self.on_device(Range::new(block, end)) else {
            return Ok(None);
        };
        let len = range.end - range.start;
        Ok(Some(Extent {
            start: block,
            len,
            disk: 0,
            state: State::Hole,
        }))
    }

    /// Puts an extent into the map, but for what must not be there.
    pub(crate) fn insert(&self, extent: &Extent) {
        let mut rest = extent.range();
        while !rest.is_empty() {
            let inserted = self.change(|map, locked, spare| {
                let Leases::Held(_) = locked.leases else {
                    return Ok(None);
                };
                let Some(free) = locked.claims.allowed(rest) else {
                    return Ok(None);
                };
                let reading = kernel::sync::rcu::read_lock();
                map.insert(&extent.part(free), &mut locked.writer, spare, &reading)?;
                Ok(Some(free))
            });
            let Some(free) = inserted else { return };
            trace::extent_insert(self, &extent.part(free));
            rest.start = free.end;
        }
    }
}
