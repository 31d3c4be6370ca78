//! Shifts and horizontal flips of small planar images, for any number of channels.

use super::Augment;
use crate::data::Stream;

/// All steps on one image combined: a shift and possibly a flip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Placement {
    down: isize,
    right: isize,
    mirrored: bool,
    /// Whether what lies outside the image is its reflection, and not black.
    reflected: bool,
}

/// Shifts and flips a planar image (channels, height, width) by the `pad_crop`, `reflect_crop` and `flip` among `steps`,
/// with random numbers from `stream`, and writes it into `out`. Other steps are ignored.
pub(super) fn place(
    steps: &[Augment],
    image: &[u8],
    (height, width): (usize, usize),
    stream: &mut Stream,
    out: &mut [u8],
) {
    let mut placed = Placement::default();
    for step in steps {
        match *step {
            Augment::PadCrop(pad) | Augment::ReflectCrop(pad) => {
                let mut offset = || stream.below(2 * u64::from(pad) + 1) as isize - pad as isize;
                let (down, right) = (offset(), offset());
                placed.reflected |= matches!(step, Augment::ReflectCrop(_));
                placed.down += down;
                placed.right += if placed.mirrored { -right } else { right };
            }
            Augment::Flip => placed.mirrored ^= stream.below(2) == 1,
            _ => {}
        }
    }
    if (placed.down, placed.right, placed.mirrored) == (0, 0, false) {
        out.copy_from_slice(image);
        return;
    }
    let plane = height * width;
    for (from, to) in image.chunks_exact(plane).zip(out.chunks_exact_mut(plane)) {
        for (y, row) in to.chunks_exact_mut(width).enumerate() {
            if placed.reflected {
                let y = reflected(y, placed.down, height);
                let line = &from[y * width..(y + 1) * width];
                row.iter_mut()
                    .enumerate()
                    .for_each(|(x, out)| *out = line[reflected(x, placed.right, width)]);
            } else {
                match y.checked_add_signed(placed.down).filter(|&y| y < height) {
                    Some(y) => shift(&from[y * width..(y + 1) * width], placed.right, row),
                    None => row.fill(0),
                }
            }
            if placed.mirrored {
                row.reverse();
            }
        }
    }
}

/// Where `at + by` lies along a side that goes back and forth, as in PyTorch's `ReflectionPad2d`.
fn reflected(at: usize, by: isize, side: usize) -> usize {
    let last = side.saturating_sub(1);
    let there = (at as isize + by).rem_euclid((2 * last).max(1) as isize) as usize;
    if there <= last { there } else { 2 * last - there }
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
