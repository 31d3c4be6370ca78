//! Collectives over several processes: libtorch's c10d with gloo, and the reducer of `DistributedDataParallel`.

use super::ffi::{check, pointers, take};
use anyhow::Result;
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;
use std::time::Duration;
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn tv_store_open(
        out: *mut *mut c_void,
        host: *const c_char,
        port: *mut u16,
        serve: c_int,
        timeout_ms: i64,
    ) -> *mut c_char;
    fn tv_store_prefix(out: *mut *mut c_void, store: *const c_void, prefix: *const c_char) -> *mut c_char;
    fn tv_store_set(store: *const c_void, key: *const c_char, value: *const c_char) -> *mut c_char;
    fn tv_store_get(out: *mut *mut c_char, store: *const c_void, key: *const c_char) -> *mut c_char;
    fn tv_store_has(out: *mut c_int, store: *const c_void, key: *const c_char) -> *mut c_char;
    fn tv_store_free(store: *mut c_void);
    fn tv_group_open(
        out: *mut *mut c_void,
        store: *const c_void,
        rank: c_int,
        world: c_int,
        timeout_ms: i64,
    ) -> *mut c_char;
    fn tv_group_free(group: *mut c_void);
    fn tv_group_all_reduce(group: *const c_void, tensor: *mut C_tensor) -> *mut c_char;
    fn tv_group_send(group: *const c_void, tensor: *mut C_tensor, to: c_int) -> *mut c_char;
    fn tv_group_receive(group: *const c_void, tensor: *mut C_tensor, from: c_int) -> *mut c_char;
    fn tv_group_broadcast(group: *const c_void, tensors: *const *mut C_tensor, n: usize) -> *mut c_char;
    fn tv_reducer_new(
        out: *mut *mut c_void,
        group: *const c_void,
        tensors: *const *mut C_tensor,
        names: *const *const c_char,
        n: usize,
        find_unused: c_int,
    ) -> *mut c_char;
    fn tv_reducer_free(reducer: *mut c_void);
    fn tv_reducer_before_forward(reducer: *mut c_void) -> *mut c_char;
    fn tv_reducer_before_backward(reducer: *mut c_void, loss: *const C_tensor) -> *mut c_char;
    fn tv_reducer_begun(reducer: *const c_void, bytes: *mut i64, seconds: *mut f64, room: usize) -> usize;
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Where the processes of a run leave texts for each other: a server in one of them, its clients in the others.
pub struct TcpStore(*mut c_void);

impl TcpStore {
    /// Serves on a free port, which is returned.
    ///
    /// # Errors
    /// No port.
    pub fn serve(timeout: Duration) -> Result<(Self, u16)> {
        Self::open("localhost", 0, true, timeout)
    }

    /// The one that a process serves there.
    ///
    /// # Errors
    /// None within `timeout`.
    pub fn connect(host: &str, port: u16, timeout: Duration) -> Result<Self> {
        Ok(Self::open(host, port, false, timeout)?.0)
    }

    fn open(host: &str, mut port: u16, serve: bool, timeout: Duration) -> Result<(Self, u16)> {
        let (host, mut out) = (CString::new(host)?, ptr::null_mut());
        // SAFETY: live pointers; the shim hands over a store, freed in `drop`.
        check(unsafe {
            tv_store_open(&mut out, host.as_ptr(), &mut port, c_int::from(serve), millis(timeout))
        })?;
        Ok((Self(out), port))
    }

    /// The same store, where all keys begin with `prefix`.
    ///
    /// # Errors
    /// A NUL in `prefix`.
    pub fn prefixed(&self, prefix: &str) -> Result<Self> {
        let (prefix, mut out) = (CString::new(prefix)?, ptr::null_mut());
        // SAFETY: as above; the shim keeps its own reference to the store.
        check(unsafe { tv_store_prefix(&mut out, self.0, prefix.as_ptr()) })?;
        Ok(Self(out))
    }

    /// # Errors
    /// No connection.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (CString::new(key)?, CString::new(value)?);
        // SAFETY: live pointers.
        check(unsafe { tv_store_set(self.0, key.as_ptr(), value.as_ptr()) })
    }

    /// Waits until there is one.
    ///
    /// # Errors
    /// None within the store's time.
    pub fn get(&self, key: &str) -> Result<String> {
        let (key, mut out) = (CString::new(key)?, ptr::null_mut());
        // SAFETY: live pointers; the shim hands over a text, which `take` frees.
        check(unsafe { tv_store_get(&mut out, self.0, key.as_ptr()) })?;
        Ok(take(out))
    }

    /// # Errors
    /// No connection.
    pub fn has(&self, key: &str) -> Result<bool> {
        let (key, mut out) = (CString::new(key)?, 0);
        // SAFETY: live pointers.
        check(unsafe { tv_store_has(&mut out, self.0, key.as_ptr()) })?;
        Ok(out != 0)
    }
}

// SAFETY: libtorch's stores are locked.
unsafe impl Send for TcpStore {}
// SAFETY: as above.
unsafe impl Sync for TcpStore {}

impl Drop for TcpStore {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { tv_store_free(self.0) }
    }
}

/// The processes of a run, of which this one is `rank` of `world`. Every call must be made by all of them, in the same order.
pub struct ProcessGroup(*mut c_void);

impl ProcessGroup {
    /// # Errors
    /// A rank that does not come within `timeout`.
    pub fn new(store: &TcpStore, rank: usize, world: usize, timeout: Duration) -> Result<Self> {
        let (rank, world) = (c_int::try_from(rank)?, c_int::try_from(world)?);
        let mut out = ptr::null_mut();
        // SAFETY: live pointers; the shim hands over a group, freed in `drop`, which keeps its own reference to the store.
        check(unsafe { tv_group_open(&mut out, store.0, rank, world, millis(timeout)) })?;
        Ok(Self(out))
    }

    /// The sum over all ranks, in place.
    ///
    /// # Errors
    /// A rank that has ended, or another shape there.
    pub fn all_reduce(&self, tensor: &Tensor) -> Result<()> {
        // SAFETY: live pointers.
        check(unsafe { tv_group_all_reduce(self.0, tensor.as_ptr().cast_mut()) })
    }

    /// Sends a tensor to another rank, which [receives](Self::receive) it.
    ///
    /// # Errors
    /// As [`Self::all_reduce`].
    pub fn send(&self, tensor: &Tensor, to: usize) -> Result<()> {
        // SAFETY: live pointers.
        check(unsafe { tv_group_send(self.0, tensor.as_ptr().cast_mut(), c_int::try_from(to)?) })
    }

    /// Fills a tensor with what another rank sends.
    ///
    /// # Errors
    /// As [`Self::all_reduce`].
    pub fn receive(&self, tensor: &Tensor, from: usize) -> Result<()> {
        // SAFETY: live pointers.
        check(unsafe { tv_group_receive(self.0, tensor.as_ptr().cast_mut(), c_int::try_from(from)?) })
    }

    /// Rank 0's values, in place.
    ///
    /// # Errors
    /// As [`Self::all_reduce`].
    pub fn broadcast(&self, tensors: &[Tensor]) -> Result<()> {
        let list = pointers(tensors);
        // SAFETY: the list holds live tensors.
        check(unsafe { tv_group_broadcast(self.0, list.as_ptr(), list.len()) })
    }
}

// SAFETY: gloo's groups are locked; each collective takes a number of its own.
unsafe impl Send for ProcessGroup {}
// SAFETY: as above.
unsafe impl Sync for ProcessGroup {}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { tv_group_free(self.0) }
    }
}

/// Makes the gradients of parameters the sum over the ranks, bucket by bucket while backward runs.
pub struct Reducer(*mut c_void);

impl Reducer {
    /// `find_unused` is for networks of which a step may leave out parts.
    ///
    /// # Errors
    /// Other parameters on another rank.
    pub fn new(group: &ProcessGroup, parameters: &[(String, Tensor)], find_unused: bool) -> Result<Self> {
        let names = parameters.iter().map(|(name, _)| CString::new(name.as_str()));
        let names: Vec<CString> = names.collect::<Result<_, _>>()?;
        let pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let tensors: Vec<_> = parameters.iter().map(|(_, tensor)| tensor.as_ptr().cast_mut()).collect();
        let mut out = ptr::null_mut();
        // SAFETY: both lists hold as many live pointers; the shim hands over a reducer, freed in `drop`, which keeps its own
        // references to group and tensors.
        check(unsafe {
            tv_reducer_new(
                &mut out,
                group.0,
                tensors.as_ptr(),
                pointers.as_ptr(),
                tensors.len(),
                c_int::from(find_unused),
            )
        })?;
        Ok(Self(out))
    }

    /// To be called before each forward pass.
    ///
    /// # Errors
    /// A backward pass that is not over.
    pub fn before_forward(&mut self) -> Result<()> {
        // SAFETY: a live reducer.
        check(unsafe { tv_reducer_before_forward(self.0) })
    }

    /// To be called before the backward pass of `loss` whose gradients are reduced, together with those that are there.
    ///
    /// # Errors
    /// As [`Self::before_forward`].
    pub fn before_backward(&mut self, loss: &Tensor) -> Result<()> {
        // SAFETY: a live reducer and tensor.
        check(unsafe { tv_reducer_before_backward(self.0, loss.as_ptr()) })
    }

    /// The buckets of the last backward pass, in the order in which their sums began: bytes, and seconds since
    /// [`Self::before_backward`].
    pub fn begun(&self) -> Vec<(i64, f64)> {
        // SAFETY: a live reducer; nothing is written where there is no room.
        let count = unsafe { tv_reducer_begun(self.0, ptr::null_mut(), ptr::null_mut(), 0) };
        let (mut bytes, mut seconds) = (vec![0; count], vec![0.0; count]);
        // SAFETY: both have room for as many.
        unsafe { tv_reducer_begun(self.0, bytes.as_mut_ptr(), seconds.as_mut_ptr(), count) };
        bytes.into_iter().zip(seconds).collect()
    }
}

impl Drop for Reducer {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { tv_reducer_free(self.0) }
    }
}
