//! One test function for both directors: the kernel and the in-memory kernel.

/// Makes a test on each director of every function named, which takes a `&mut Client`, whatever
/// that is there, of one that nobody has touched: `fake::NAME` runs anywhere; `kernel::NAME` needs
/// root and ip_vs, in a network namespace of its own.
#[macro_export]
macro_rules! on_each_director {
    ($($name:ident)*) => {
        $crate::on_each_director! { if $crate::on_every_kernel; $($name)* }
    };
    // The same, but on kernels for which this says so.
    (if $is_tried_here:path; $($name:ident)*) => {
        mod fake {
            $(#[test] fn $name() { super::$name(&mut super::Client::fake(ipvs::Table::new())); })*
        }
        mod kernel {
            $(#[test] fn $name() {
                if !$is_tried_here() {
                    return;
                }
                $crate::sandbox::enter_network().unwrap();
                super::$name(&mut super::Client::connect().unwrap());
            })*
        }
    };
}
