//! Asking for memory before it is needed, and comparing eight tags at once: what plain code cannot say.
//!
//! Where it sits: the lookups of `datapath` and `conntrack` work in stages over a batch of packets: each stage asks for
//! the lines that the next one reads. A line asked for in time costs a tenth of one that is waited for.

/// Asks for the first line of `value`.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    line(core::ptr::from_ref(value).cast());
}

/// Asks for the line at an address: a hint, of which nothing is read or known, so that it may be one that no longer means anything.
#[inline]
pub fn prefetch_at(address: usize) {
    line(core::ptr::without_provenance(address));
}

#[inline]
pub(crate) fn line(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, for which any address will do; it needs SSE, which every x86-64 processor has.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// A bit for each of `tags` that equals `tag`.
#[inline]
pub fn matching(tags: &[u16; 8], tag: u16) -> u8 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the load is of the array's sixteen bytes, at any alignment; all is SSE2, which every x86-64 processor has.
    unsafe {
        use core::arch::x86_64::{
            _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16,
        };
        let all = _mm_loadu_si128(tags.as_ptr().cast());
        let equal = _mm_cmpeq_epi16(all, _mm_set1_epi16(tag.cast_signed()));
        _mm_movemask_epi8(_mm_packs_epi16(equal, equal)) as u8
    }
    #[cfg(not(target_arch = "x86_64"))]
    tags.iter().enumerate().fold(0, |bits, (i, t)| bits | u8::from(*t == tag) << i)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_where_they_are() {
        prefetch(&[1u8; 3]);
        prefetch::<[u8]>(&[]);
        assert_eq!(matching(&[1, 2, 1, 0xffff, 0, 0x8000, 1, 3], 1), 0b0100_0101);
        for n in [0, 0x8000, 0xffff, 7] {
            let tags = [7, 0, 0x8000, 0xffff, 0, 7, 7, 0];
            let plain = tags.iter().enumerate().fold(0, |bits, (i, t)| bits | u8::from(*t == n) << i);
            assert_eq!(matching(&tags, n), plain);
        }
    }
}
