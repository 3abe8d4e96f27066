//! Which linear pages have addresses whose code is noted: when what such a page means changes, what is noted counts no longer.

use crate::memory::PAGE;

/// Words of a filter.
const WORDS: usize = 128;

/// A set of pages that may have more than were put into it.
#[repr(C)]
pub(super) struct NotedPages {
    /// A bit for each page, by the low bits of its number.
    words: [u64; WORDS],
    /// The lowest and the highest page.
    first: u64,
    last: u64,
}

impl NotedPages {
    /// Words of 64 bits at the start of the value; translated code sets bits in them.
    pub(super) const WORDS: u32 = WORDS as u32;

    pub(super) const fn none() -> Self {
        Self { words: [0; WORDS], first: u64::MAX, last: 0 }
    }

    /// Any page may be put in by translated code.
    pub(super) const fn anywhere() -> Self {
        Self { first: 0, last: u64::MAX, ..Self::none() }
    }

    /// Forgets all pages.
    pub(super) fn clear(&mut self) {
        self.words = [0; WORDS];
    }

    /// Puts in the pages with code at a linear address, which may cross the page's end.
    pub(super) fn note(&mut self, linear: u64) {
        for page in [linear / PAGE, linear.wrapping_add(PAGE) / PAGE] {
            let (word, bit) = bit_of(page);
            if let Some(bits) = self.words.get_mut(word) {
                *bits |= bit;
            }
            (self.first, self.last) = (self.first.min(page), self.last.max(page));
        }
    }

    /// Whether the page around a linear address may have been put in.
    pub(super) fn has(&self, linear: u64) -> bool {
        let page = linear / PAGE;
        let (word, bit) = bit_of(page);
        (self.first..=self.last).contains(&page) && self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }
}

/// Where the filter has a page.
const fn bit_of(page: u64) -> (usize, u64) {
    ((page / 64) as usize % WORDS, 1 << (page % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_the_ones_behind_them_are_noted_until_all_are_forgotten() {
        let mut pages = NotedPages::none();
        pages.note(0xC100_0FFF);
        for (linear, noted) in
            [(0xC100_0000, true), (0xC100_1FFF, true), (0xC100_2000, false), (0xC0FF_FFFF, false)]
        {
            assert_eq!(pages.has(linear), noted, "{linear:#x}");
        }
        pages.clear();
        assert!(!pages.has(0xC100_0000));
    }

    #[test]
    fn pages_of_programs_do_not_count_as_those_of_the_kernel_that_share_their_bits() {
        let alias = 0xC100_0000 - PAGE * 64 * WORDS as u64;
        let (mut kernel, mut programs) = (NotedPages::none(), NotedPages::anywhere());
        kernel.note(0xC100_0000);
        programs.note(0xC100_0000);
        assert!(!kernel.has(alias) && programs.has(alias));
    }
}
