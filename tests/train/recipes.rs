//! The recipes that are shipped: each is read, keeps its meaning when it is written out, and fits an adapter of default limits.

use std::path::Path;

use unetr_wgpu::gpu::{AdapterClass, Limits};
use unetr_wgpu::train::data::Source;
use unetr_wgpu::train::{OptimizerOptions, Recipe, StepSpec, training_memory};

const MIB: u64 = 1 << 20;

#[test]
fn every_recipe_can_be_followed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).expect("recipes") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("text");
        let recipe = Recipe::read(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let again = Recipe::read(&recipe.to_toml()).unwrap_or_else(|e| panic!("{name}, written out: {e}"));
        assert_eq!(recipe.sha256(), again.sha256(), "{name} means something else when it is written out");
        let m = &recipe.metadata;
        let source = Source::new(&recipe.data, &recipe.task(), &m.input, &m.output);
        source.unwrap_or_else(|e| panic!("{name}: {e}"));
        let optimizer = OptimizerOptions {
            clip: (recipe.optimizer.clip > 0.0).then_some(recipe.optimizer.clip as f32),
            average: recipe.optimizer.average > 0.0,
            ..OptimizerOptions::default()
        };
        let spec = StepSpec {
            optimizer,
            dropout: Some(recipe.dropout()),
            accumulate: recipe.run.accumulate,
            recompute: recipe.run.recompute,
            class_weights: &recipe.loss.class_weights,
            ..StepSpec::new(m.inference.roi_size, recipe.data.batch, recipe.dice_ce())
        };
        let memory = training_memory(&m.network, &spec, AdapterClass::Discrete, &Limits::default());
        let memory = memory.unwrap_or_else(|e| panic!("{name}: {e}"));
        println!("{name}: {} MiB, largest buffer {} MiB", memory.total() / MIB, memory.largest / MIB);
        // What a graphics card of 6 GB has left.
        assert!(memory.total() <= 5 * 1024 * MIB, "{name}: {} MiB", memory.total() / MIB);
        read += 1;
    }
    assert!(read >= 6, "{read} recipes");
}
