//! Every registered network in a whole run: it is trained, stopped and resumed to the same bits, and its package of f16 weights
//! segments alike whether the device keeps them in f16 or f32.

use std::ops::ControlFlow;

use unetr_wgpu::infer::{Progress, SegmentOptions, Segmenter};
use unetr_wgpu::nets::NETWORKS;
use unetr_wgpu::train::Recipe;
use unetr_wgpu::volume::nifti::{self, ReadOptions};
use unetr_wgpu::weights::Package;

use crate::support::each::each;
use crate::train_run::{dataset, folder, gpu, losses, model, run};

/// Arguments of a small form of each, and a window that it takes.
const SMALL: &[(&str, &str, [usize; 3])] = &[
    ("UNETR", "img_size = [16, 32, 16], feature_size = 4, hidden_size = 24, mlp_dim = 48, num_heads = 2", [16, 32, 16]),
    (
        "UNet",
        r#"spatial_dims = 3, channels = [4, 8, 16], strides = [2, 2], num_res_units = 2, norm = "batch", dropout = 0.1"#,
        [16, 32, 16],
    ),
    ("BasicUNet", "spatial_dims = 3, features = [4, 4, 8, 8, 8, 4]", [16, 32, 16]),
    ("AttentionUnet", "spatial_dims = 3, channels = [4, 8, 16], strides = [2, 2]", [16, 32, 16]),
    (
        "DynUNet",
        "spatial_dims = 3, kernel_size = [[3, 3, 3], [3, 3, 3], [3, 3, 1]], strides = [[1, 1, 1], [2, 2, 2], [2, 2, 1]], \
         upsample_kernel_size = [[2, 2, 2], [2, 2, 1]], filters = [4, 8, 8], res_block = true, deep_supervision = true, \
         deep_supr_num = 1",
        [16, 32, 16],
    ),
    ("SegResNet", "spatial_dims = 3, init_filters = 8, blocks_down = [1, 1], blocks_up = [1]", [16, 32, 16]),
    ("SwinUNETR", "spatial_dims = 3, feature_size = 12, depths = [2, 2, 2, 2], num_heads = [1, 2, 4, 8]", [32, 32, 32]),
    ("SegResNetDS", "init_filters = 8, blocks_down = [1, 1, 1], dsdepth = 2", [16, 32, 16]),
    (
        "PlainConvUNet",
        "n_stages = 3, features_per_stage = [4, 8, 8], kernel_sizes = [[1, 3, 3], [3, 3, 3], [3, 3, 3]], \
         strides = [[1, 1, 1], [1, 2, 2], [2, 2, 2]], n_conv_per_stage = [1, 1, 1], n_conv_per_stage_decoder = [1, 1], \
         deep_supervision = true",
        [16, 32, 16],
    ),
    (
        "ResidualEncoderUNet",
        "n_stages = 3, features_per_stage = [4, 8, 8], kernel_sizes = [[3, 3, 3], [3, 3, 3], [3, 3, 3]], \
         strides = [[1, 1, 1], [2, 2, 2], [2, 2, 2]], n_blocks_per_stage = [1, 1, 2], n_conv_per_stage_decoder = [1, 1], \
         deep_supervision = false",
        [16, 32, 16],
    ),
    (
        "SETR",
        r#"decoder = "pup", img_size = [16, 32, 16], features = 4, hidden_size = 24, mlp_dim = 48, num_heads = 2, num_layers = 4"#,
        [16, 32, 16],
    ),
    ("TransBTS", "img_dim = 16, embedding_dim = 256, num_heads = 2, num_layers = 1, hidden_dim = 32", [16, 16, 16]),
];

/// What each calls its channels.
fn channels(kind: &str) -> &'static str {
    match kind {
        "PlainConvUNet" | "ResidualEncoderUNet" => "input_channels = 1, num_classes = 2",
        "TransBTS" => "num_channels = 1, num_classes = 2",
        _ => "in_channels = 1, out_channels = 2",
    }
}

fn recipe(kind: &str, arguments: &str, window: [usize; 3]) -> Recipe {
    let text = format!(
        r##"
name = "balls"
network = {{ type = "{kind}", {}, {arguments} }}
[input]
channels = ["MR"]
orientation = "RAS"
intensity = {{ kind = "normalize", nonzero = false, channel_wise = true }}
[output]
activation = "softmax"
labels = [{{ value = 1, name = "ball", color = "#e0a040" }}]
[inference]
roi_size = {window:?}
[run]
steps = 4
checkpoint_every = 2
dtype = "f16"
[optimizer]
learning_rate = 2e-3
clip = 1.0
[validation]
every = 4
surface_distance = false
"##,
        channels(kind)
    );
    Recipe::read(&text).unwrap_or_else(|e| panic!("{kind}: {e}"))
}

#[test]
fn every_network_trains_resumes_and_segments_in_f16() {
    let data_folder = folder();
    let data = dataset(data_folder.path());
    let scan = nifti::read_path(&data_folder.path().join("image_4.nii.gz"), &ReadOptions::default()).expect("a scan");
    each(NETWORKS, gpu, |gpu, network| {
        let kind = network.name;
        let small = SMALL.iter().find(|(name, ..)| *name == kind);
        let &(_, arguments, window) = small.unwrap_or_else(|| panic!("{kind} has no small form in this test"));
        let folder = folder();
        let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
        let go = |folder, recipe, stop| {
            run(gpu, &data, folder, recipe, stop, None).unwrap_or_else(|e| panic!("{kind}: {e}"))
        };
        let recipe = || Some(recipe(kind, arguments, window));
        assert!(go(&whole, recipe(), None).complete, "{kind}");
        assert!(!go(&broken, recipe(), Some(3)).complete, "{kind}");
        assert!(go(&broken, None, None).complete, "{kind}");
        assert!(model(&whole) == model(&broken), "{kind}: the same bits");
        let all = losses(&whole);
        assert_eq!(all, losses(&broken), "{kind}");
        assert!(all.first() != all.last(), "{kind} learns nothing: {all:?}");

        let package = Package::read(model(&whole)).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let logits = |half_weights| {
            let options = SegmentOptions { half_weights, keep_logits: true, ..SegmentOptions::default() };
            let mut segmenter = pollster::block_on(Segmenter::new(gpu, &package, options)).expect(kind);
            let prepared = segmenter.prepare(&scan.volume).expect(kind);
            let result = pollster::block_on(segmenter.run(&prepared, &mut |_: Progress| ControlFlow::Continue(())));
            result.expect(kind).logits.expect("kept").data
        };
        let (full, half) = (logits(false), logits(true));
        assert!(full.iter().all(|v| v.is_finite()), "{kind}");
        let most = full.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let error = full.iter().zip(&half).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        println!("{kind}: largest logit {most:.3}, largest error with f16 weights {error:.2e}");
        // The package's weights are f16 numbers already: only the order of sums may differ.
        assert!(error <= 1e-4 * most.max(1.0), "{kind}: {error} of {most}");
    });
}
