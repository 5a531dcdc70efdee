//! `bindgen WASM FOLDER NAME`: writes `NAME.js` and `NAME_bg.wasm`, an ES module for browsers, into FOLDER.

use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [wasm, folder, name] = arguments.as_slice() else {
        return Err("usage: bindgen WASM FOLDER NAME".into());
    };
    let mut bindgen = Bindgen::new();
    bindgen.web(true)?.omit_default_module_path(false).input_path(wasm).out_name(name).typescript(true);
    bindgen.remove_name_section(true).remove_producers_section(true).generate(folder)?;
    Ok(())
}
