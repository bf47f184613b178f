//! A pinned map, with its types.

use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use bytemuck::Pod;
use libbpf_rs::libbpf_sys::bpf_map_get_next_key;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use crate::DataplaneError;

/// Entries that are read at once: more than a bucket of a hash ever has.
const BATCH: u32 = 512;

/// A map of `K` to `V`, read and written whole.
#[derive(Debug)]
pub struct Table<K, V> {
    name: &'static str,
    map: MapHandle,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    /// The map pinned as `name` in `directory`.
    pub(crate) fn open(directory: &Path, name: &'static str) -> Result<Self, DataplaneError> {
        let map =
            MapHandle::from_pinned_path(directory.join(name)).map_err(|e| DataplaneError::new("open map", name, &e))?;
        let table = Self { name, map, types: PhantomData };
        let sizes = (table.map.key_size() as usize, table.map.value_size() as usize);
        if sizes == (size_of::<K>(), size_of::<V>()) { Ok(table) } else { Err(DataplaneError::layout(name)) }
    }

    /// Puts `value` at `key`, in place of another.
    pub fn put(&self, key: &K, value: &V) -> Result<(), DataplaneError> {
        match self.map.update(bytemuck::bytes_of(key), bytemuck::bytes_of(value), MapFlags::ANY) {
            // The kernel says so with "argument list too long".
            Err(_) if self.keys().len() >= self.map.max_entries() as usize => {
                let full = format!("all of its {} entries are taken", self.map.max_entries());
                Err(DataplaneError::new("write", format!("map {}", self.name), &full))
            }
            other => other.map_err(|e| self.refused("write", &e)),
        }
    }

    /// Takes `key` out, if it is there.
    pub fn remove(&self, key: &K) -> Result<(), DataplaneError> {
        match self.map.delete(bytemuck::bytes_of(key)) {
            Err(error) if error.kind() != libbpf_rs::ErrorKind::NotFound => Err(self.refused("delete from", &error)),
            _ => Ok(()),
        }
    }

    /// What is at `key`.
    pub fn get(&self, key: &K) -> Result<Option<V>, DataplaneError> {
        let found = self.map.lookup(bytemuck::bytes_of(key), MapFlags::ANY).map_err(|e| self.refused("read", &e))?;
        Ok(found.map(|bytes| bytemuck::pod_read_unaligned(&bytes)))
    }

    /// Every key. Those that come or go meanwhile may be missing, or twice.
    pub fn keys(&self) -> Vec<K> {
        self.map.keys().map(|bytes| bytemuck::pod_read_unaligned(&bytes)).collect()
    }

    /// The key that a map with an order lists behind `key`, which must be there: else the first one.
    pub(crate) fn key_after(&self, key: &K) -> Result<Option<K>, DataplaneError> {
        let mut next = K::zeroed();
        let map = self.map.as_fd().as_raw_fd();
        // SAFETY: both are as large as the map's keys, as `open` has seen, and live through the call.
        let answer = unsafe { bpf_map_get_next_key(map, (&raw const *key).cast(), (&raw mut next).cast()) };
        match answer {
            0 => Ok(Some(next)),
            refused => match libbpf_rs::Error::from_raw_os_error(-refused) {
                error if error.kind() == libbpf_rs::ErrorKind::NotFound => Ok(None),
                error => Err(self.refused("read", &error)),
            },
        }
    }

    /// Shows `visit` every key with its value, many at a time. Of hashes with one value for all CPUs only; those that
    /// come or go meanwhile may be missing.
    pub fn each(&self, mut visit: impl FnMut(K, V)) -> Result<(), DataplaneError> {
        let batches =
            self.map.lookup_batch(BATCH, MapFlags::ANY, MapFlags::ANY).map_err(|e| self.refused("read", &e))?;
        for (key, value) in batches {
            visit(bytemuck::pod_read_unaligned(&key), bytemuck::pod_read_unaligned(&value));
        }
        Ok(())
    }

    /// What each CPU has at `key`; nothing if no CPU has anything. Of maps with a value per CPU only.
    pub fn per_cpu(&self, key: &K) -> Result<Vec<V>, DataplaneError> {
        let found = self.map.lookup_percpu(bytemuck::bytes_of(key), MapFlags::ANY);
        let found = found.map_err(|e| self.refused("read", &e))?.unwrap_or_default();
        Ok(found.iter().map(|bytes| bytemuck::pod_read_unaligned(&bytes[..size_of::<V>()])).collect())
    }

    fn refused(&self, action: &'static str, error: &libbpf_rs::Error) -> DataplaneError {
        DataplaneError::new(action, format!("map {}", self.name), error)
    }
}
