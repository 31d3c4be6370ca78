//! Work on many pictures by all cores, ahead of the one who uses them.

use anyhow::Result;
use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Prepares `sources` on `threads` threads, `batch` at a time and in order, while `each` uses the batch before, until it
/// breaks off: two batches are in memory. A panic of `prepare` goes on in the caller.
///
/// # Errors
/// The first of `each`, which ends the work.
pub fn prepare<S: Sync, T: Send>(
    sources: &[S],
    batch: usize,
    threads: usize,
    prepare: impl Fn(&S) -> T + Sync,
    mut each: impl FnMut(&[S], Vec<T>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let prepare = &prepare;
    thread::scope(|scope| {
        // Nobody waits for a batch that waits: one is prepared, one is used.
        let (sender, receiver) = sync_channel(0);
        scope.spawn(move || {
            for sources in sources.chunks(batch.max(1)) {
                if sender.send((sources, on_threads(sources, threads, prepare))).is_err() {
                    return;
                }
            }
        });
        for (sources, prepared) in receiver {
            if each(sources, prepared)?.is_break() {
                break;
            }
        }
        Ok(())
    })
}

/// The results in the order of the sources.
fn on_threads<S: Sync, T: Send>(
    sources: &[S],
    threads: usize,
    prepare: &(impl Fn(&S) -> T + Sync),
) -> Vec<T> {
    let share = sources.len().div_ceil(threads.max(1)).max(1);
    thread::scope(|scope| {
        let shares = sources.chunks(share);
        let workers: Vec<_> =
            shares.map(|share| scope.spawn(move || share.iter().map(prepare).collect::<Vec<T>>())).collect();
        let mut results = Vec::with_capacity(sources.len());
        for worker in workers {
            match worker.join() {
                Ok(share) => results.extend(share),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}
