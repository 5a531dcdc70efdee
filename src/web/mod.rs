//! The segmenter for JavaScript: what `www/package/worker.js` calls inside its worker.
//!
//! | module | gives |
//! | --- | --- |
//! | [`device`] | the adapter and its self-test |
//! | [`model`] | a model file that arrives in chunks, hashed on the way; checkpoints as packages |
//! | [`scan`] | NIfTI files, a DICOM series or plain voxels as a scan |
//! | [`segmenter`] | a model on the device |
//! | [`plan`], [`watch`] | a scan made ready, its run, and what is told and saved on the way |
//! | [`outcome`] | labels, statistics, files, provenance |
//! | [`bench`] | the benchmark |
//! | [`compare`] | labels against an expert's |
//! | [`error`] | errors with the codes that the npm package promises |
//!
//! Everything that waits is a promise: a blocked worker would stop the very callbacks it waits for. Arrays cross the
//! border once, as typed arrays; everything else crosses as plain objects with camelCase keys.

mod bench;
mod compare;
mod device;
mod error;
mod model;
mod outcome;
mod plan;
mod scan;
mod segmenter;
mod watch;

use std::cell::RefCell;

use js_sys::Function;
use serde::Serialize;
use wasm_bindgen::prelude::*;

thread_local! {
    static ON_PANIC: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Calls `callback(message)` when the program fails in a way it cannot return as an error. The promise that was being
/// worked on then never settles and the memory is not to be trusted: the worker must be replaced.
#[wasm_bindgen(js_name = onPanic)]
pub fn on_panic(callback: Function) {
    ON_PANIC.with(|slot| slot.replace(Some(callback)));
    std::panic::set_hook(Box::new(|info| {
        let message = JsValue::from_str(&info.to_string());
        web_sys::console::error_1(&message);
        ON_PANIC.with(|slot| {
            if let Ok(Some(callback)) = slot.try_borrow().as_deref() {
                // A callback that throws has nobody left to tell.
                let _ = callback.call1(&JsValue::NULL, &message);
            }
        });
    }));
}

/// Name and version of this build.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// A plain JavaScript object.
fn object<T: Serialize + ?Sized>(value: &T) -> Result<JsValue, JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).map_err(|e| error::internal(&e.to_string()))
}
