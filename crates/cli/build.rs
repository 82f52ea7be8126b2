//! Lays the program out for `cargo xtask dist`, which says how in the environment: see `xtask/src/dist/order.rs`.

fn main() {
    println!("cargo::rerun-if-env-changed=HOLM_LINK_ORDER");
    println!("cargo::rerun-if-env-changed=HOLM_LINK_MAP");
    let (Ok(order), Ok(map)) = (std::env::var("HOLM_LINK_ORDER"), std::env::var("HOLM_LINK_MAP")) else {
        return;
    };
    println!("cargo::rerun-if-changed={order}");
    for word in [
        format!("--symbol-ordering-file={order}"),
        "--no-warn-symbol-ordering".to_owned(),
        format!("-Map={map}"),
        "--no-demangle".to_owned(),
    ] {
        println!("cargo::rustc-link-arg-bins=-Wl,{word}");
    }
}
