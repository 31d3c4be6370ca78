//! Prepares many images on several threads, one batch ahead of the consumer.

use anyhow::Result;
use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Prepares `sources` on `threads` threads, `batch` at a time and in order, while `each` uses the previous
/// batch, until it breaks off: two batches are in memory. A panic in `prepare` is propagated to the caller.
///
/// # Errors
/// The first error of `each`, which ends the work.
pub fn prepare<S: Sync, T: Send>(
    sources: &[S],
    batch: usize,
    threads: usize,
    prepare: impl Fn(&S) -> T + Sync,
    mut each: impl FnMut(&[S], Vec<T>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let prepare = &prepare;
    thread::scope(|scope| {
        // A rendezvous channel: one batch is being prepared while the other is used.
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
