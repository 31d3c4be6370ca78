//! Where small pictures are put: shifted and mirrored, for any number of channels.

use super::Augment;
use crate::data::Stream;

/// What happens to one picture, all steps together: a shift, and a mirror or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Placement {
    down: isize,
    right: isize,
    mirrored: bool,
}

/// Writes a picture of (channels, height, width) into `out`, put where `steps` say by the numbers of `stream`; steps of
/// another kind are none of its business.
pub(super) fn place(
    steps: &[Augment],
    picture: &[u8],
    (height, width): (usize, usize),
    stream: &mut Stream,
    out: &mut [u8],
) {
    let mut placed = Placement::default();
    for step in steps {
        match *step {
            Augment::PadCrop(pad) => {
                let mut offset = || stream.below(2 * u64::from(pad) + 1) as isize - pad as isize;
                let (down, right) = (offset(), offset());
                placed.down += down;
                placed.right += if placed.mirrored { -right } else { right };
            }
            Augment::Flip => placed.mirrored ^= stream.below(2) == 1,
            _ => {}
        }
    }
    if placed == Placement::default() {
        out.copy_from_slice(picture);
        return;
    }
    let plane = height * width;
    for (from, to) in picture.chunks_exact(plane).zip(out.chunks_exact_mut(plane)) {
        for (y, row) in to.chunks_exact_mut(width).enumerate() {
            let source = y.checked_add_signed(placed.down).filter(|&y| y < height);
            match source {
                Some(y) => shift(&from[y * width..(y + 1) * width], placed.right, row),
                None => row.fill(0),
            }
            if placed.mirrored {
                row.reverse();
            }
        }
    }
}

/// `out[x] = row[x + right]`, zero outside.
fn shift(row: &[u8], right: isize, out: &mut [u8]) {
    let by = right.unsigned_abs().min(row.len());
    let kept = row.len() - by;
    if right >= 0 {
        out[..kept].copy_from_slice(&row[by..]);
        out[kept..].fill(0);
    } else {
        out[..by].fill(0);
        out[by..].copy_from_slice(&row[..kept]);
    }
}
