//! Segmentation: one super-packet into packets that fit the wire.
//!
//! Where it sits: see the parent module. Where it is cut, and what the headers say then, is `packet`'s.

use packet::{PacketBuf, Segments};

use crate::{BufferPool, Frame};

/// Why a super-packet could not be cut up; the rest of it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentError {
    /// Its headers are not those of the segmentation asked for.
    Malformed,
    /// Memory was short.
    NoMemory,
}

/// Cuts `frame` up as it asks for and hands each segment, complete with checksums, to `emit`.
pub fn segment(
    frame: &Frame,
    pool: &mut BufferPool,
    emit: &mut impl FnMut(Frame, &mut BufferPool),
) -> Result<(), SegmentError> {
    let whole = frame.frame();
    let cuts = Segments::of(whole, whole.len(), frame.offload()).ok_or(SegmentError::Malformed)?;
    let headers = whole.get(..cuts.headers()).ok_or(SegmentError::Malformed)?;
    for index in 0..cuts.count() {
        let body = whole.get(cuts.body(index)).unwrap_or_default();
        let mut out = pool.take(headers.len() + body.len()).ok_or(SegmentError::NoMemory)?;
        if !out.append(headers) || !out.append(body) {
            return Err(SegmentError::NoMemory);
        }
        out.offload_mut().l4 = cuts.finish(out.head_mut(), index).ok_or(SegmentError::Malformed)?;
        if frame.offload().outer != 0 {
            let len = out.len();
            tunnel::finish(out.head_mut(), len).ok_or(SegmentError::Malformed)?;
        }
        emit(out, pool);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
