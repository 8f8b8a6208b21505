//! Indices in half a word, absent in no more.

use std::num::NonZeroU32;

/// An index below 2^32 - 2; the one that follows stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Index(NonZeroU32);

impl Index {
    /// That of the first.
    pub const FIRST: Self = Self(NonZeroU32::MIN);
    /// That of the second.
    pub const SECOND: Self = Self(NonZeroU32::MIN.saturating_add(1));
    /// That of nothing, and of all that is past four billion.
    pub const NONE: Self = Self(NonZeroU32::MAX);

    /// The index of this number.
    #[must_use]
    pub fn new(index: usize) -> Self {
        u32::try_from(index).map_or(Self::NONE, |index| Self(NonZeroU32::MIN.saturating_add(index)))
    }

    /// Its number.
    #[must_use]
    pub fn get(self) -> usize {
        self.get_u32() as usize
    }

    /// The same.
    #[must_use]
    pub fn get_u32(self) -> u32 {
        self.0.get() - 1
    }
}
