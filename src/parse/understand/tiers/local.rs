//! What a tier of local disks asks of its engine that this would fail on, or never look at.

use super::super::Reader;
use crate::model::desired::Resource;
use crate::model::kinds::storage_tier::{
    BindingMode, LocalEngine, StorageClassTemplate, StorageTierSpec, Zfs,
};

impl Reader<'_> {
    pub(super) fn local(&mut self, resource: &Resource, spec: &StorageTierSpec, local: &LocalEngine) {
        self.one_engine(resource, local);
        if spec.pool_selector.is_none()
            && let Some(class) = &spec.storage_class
        {
            self.class_of_local(resource, class, local);
        }
        if let Some(zfs) = &local.zfs {
            self.datasets(resource, zfs);
        }
        // The provisioner makes no volume whose parent is the root (openebs/dynamic-localpv-provisioner, `config.go`).
        if let Some(folders) = &local.hostpath {
            let mut names = folders
                .base_path
                .split('/')
                .filter(|name| !matches!(*name, "" | "."));
            if names.clone().next().is_none() || names.any(|name| name == "..") {
                self.wrong(
                    resource,
                    "/spec/local/hostpath/basePath",
                    "value",
                    "volumes are not made in the root of a node, nor by way of `..`",
                    "name a folder for volumes alone, such as /var/openebs/local",
                );
            }
        }
    }

    fn one_engine(&mut self, resource: &Resource, local: &LocalEngine) {
        let engines = [local.hostpath.is_some(), local.lvm.is_some(), local.zfs.is_some()];
        if engines.iter().filter(|there| **there).count() != 1 {
            self.wrong(
                resource,
                "/spec/local",
                "tier-pools",
                "a local tier has exactly one engine",
                "write one of `hostpath`, `lvm` and `zfs` below `local`",
            );
        }
        let names = [
            (
                "/spec/local/lvm/volumeGroup",
                local.lvm.as_ref().map(|lvm| &lvm.volume_group),
            ),
            ("/spec/local/zfs/pool", local.zfs.as_ref().map(|zfs| &zfs.pool)),
        ];
        for (pointer, name) in names {
            if name.is_some_and(|name| name.is_empty() || name.contains(char::is_whitespace)) {
                self.wrong(
                    resource,
                    pointer,
                    "value",
                    "this is no name of a group or a pool",
                    "write the name as the node knows it",
                );
            }
        }
    }

    fn class_of_local(&mut self, resource: &Resource, class: &StorageClassTemplate, local: &LocalEngine) {
        let of_others = "take it out";
        let wrongs = [
            (
                class.longhorn.is_some(),
                "longhorn",
                "a local tier has no Longhorn parameters",
                of_others,
            ),
            (
                class.mayastor.is_some(),
                "mayastor",
                "a local tier has no Mayastor parameters",
                of_others,
            ),
            (
                local.hostpath.is_some() && class.allow_volume_expansion == Some(true),
                "allowVolumeExpansion",
                "LocalPV hostpath volumes cannot grow",
                of_others,
            ),
            (
                class.volume_binding_mode == Some(BindingMode::Immediate),
                "volumeBindingMode",
                "a local volume is made where its first pod runs, and the class is rendered so",
                "write WaitForFirstConsumer, or take it out",
            ),
        ];
        for (_, field, message, help) in wrongs.into_iter().filter(|(wrong, ..)| *wrong) {
            self.wrong(
                resource,
                &format!("/spec/storageClass/{field}"),
                "value",
                message,
                help,
            );
        }
    }

    /// Properties of datasets and volumes, which the driver hands to `zfs create` as they are (zfsprops(7);
    /// <https://openebs.io/docs/user-guides/local-storage-user-guide/local-pv-zfs/configuration/zfs-storageclass-parameters>).
    fn datasets(&mut self, resource: &Resource, zfs: &Zfs) {
        if let Some(size) = &zfs.record_size {
            let (pointer, rule) = ("/spec/local/zfs/recordSize", "value");
            if !is_record_size(size) {
                let help = "write a power of two from 512 to 16M, such as 128k";
                self.wrong(resource, pointer, rule, "ZFS has no records of this size", help);
            } else if zfs.fs_type != "zfs" {
                let message = "only datasets have records: with this `fsType` it is never looked at";
                self.doubt(
                    resource,
                    pointer,
                    rule,
                    message,
                    "take it out, or write `fsType: zfs`",
                );
            }
        }
        if let Some(name) = zfs.compression.as_deref().filter(|name| !is_compression(name)) {
            let message = format!("ZFS has no compression {}", resource.origin.told(name));
            let help =
                "write on, off, lz4, lzjb, zle, gzip, gzip-1 to gzip-9, zstd, zstd-1 to zstd-19 or zstd-fast";
            self.wrong(resource, "/spec/local/zfs/compression", "value", message, help);
        }
    }
}

/// A power of two from 512 bytes to 16 MiB: OpenEBS names 128 KiB as the largest and hands on what is written, and OpenZFS takes larger
/// ones for pools with `large_blocks` (zfsprops(7)).
fn is_record_size(text: &str) -> bool {
    let (digits, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        _ => (text, 1),
    };
    let size = digits
        .parse::<u32>()
        .ok()
        .and_then(|size| size.checked_mul(factor));
    size.is_some_and(|size| size.is_power_of_two() && (512..=16 << 20).contains(&size))
}

fn is_compression(name: &str) -> bool {
    let level = |kind: &str, most: u32| {
        let level = name.strip_prefix(kind).and_then(|level| level.strip_prefix('-'));
        level.is_some_and(|level| {
            !level.starts_with(['0', '+'])
                && level
                    .parse::<u32>()
                    .is_ok_and(|level| (1..=most).contains(&level))
        })
    };
    let plain = ["on", "off", "lz4", "lzjb", "zle", "gzip", "zstd", "zstd-fast"];
    plain.contains(&name) || level("gzip", 9) || level("zstd", 19) || level("zstd-fast", 1000)
}
