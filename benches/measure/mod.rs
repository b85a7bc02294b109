//! What benchmarks measure with: a counting allocator, and a clock of CPU time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting.
struct Counting;

fn grew(by: usize) {
    let now = LIVE.fetch_add(by, Ordering::Relaxed) + by;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "an allocator cannot be counted otherwise")]
// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there for a moment.
        grew(size);
        // SAFETY: the caller's own promise.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        moved
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that are held now.
pub fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Begins to look for the greatest number of bytes held, and says how many there are now.
pub fn mark() -> usize {
    let live = live();
    PEAK.store(live, Ordering::Relaxed);
    live
}

/// The greatest number of bytes held since [`mark`].
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}

/// A line of what the system tells of this process, in bytes; 0 where it does not tell.
fn told(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
    kib.and_then(|kib| kib.parse().ok())
        .map_or(0, |kib: usize| kib * 1024)
}

/// Begins to look for the greatest number of bytes resident, those of C libraries too, and says how many there are now.
pub fn mark_resident() -> usize {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    told("VmRSS")
}

/// The greatest number of bytes resident since [`mark_resident`].
pub fn peak_resident() -> usize {
    told("VmHWM")
}

/// CPU time of this process in milliseconds.
pub fn cpu_millis() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    #[expect(unsafe_code, reason = "the standard library has no clock of CPU time")]
    // SAFETY: getrusage fills the structure that it is given.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let millis = |time: libc::timeval| time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3;
    millis(usage.ru_utime) + millis(usage.ru_stime)
}
