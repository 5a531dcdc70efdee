//! `unetr segment --meshes`: a surface of each label.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::error::{CliError, Context};
use super::output::Outputs;
use super::postprocess::Postprocess;
use super::segment::Made;
use crate::volume::mesh::{Space, surface, write_glb, write_stl};
use crate::volume::nifti::LabelName;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SpaceArg {
    Ras,
    Lps,
}

/// The files of the surfaces.
pub(super) struct Meshes {
    space: Space,
    /// Without ending.
    files: Vec<(PathBuf, LabelName)>,
}

impl Meshes {
    /// Makes the folder if it is not there and announces the files.
    ///
    /// # Errors
    /// As [`Outputs::plan`], or the folder cannot be made.
    pub fn plan(folder: &Path, space: SpaceArg, labels: &Postprocess, outputs: &mut Outputs) -> Result<Self, CliError> {
        if folder.exists() && !folder.is_dir() {
            return Err(CliError::usage(format!("--meshes {}: a folder is needed", folder.display())));
        }
        std::fs::create_dir_all(folder).at(folder)?;
        let parts = labels.file_parts().into_iter();
        let files: Vec<_> = parts.map(|(part, name)| (folder.join(part), name.clone())).collect();
        for (path, _) in &files {
            ["stl", "glb"].iter().try_for_each(|ending| outputs.plan("--meshes", &with_ending(path, ending)))?;
        }
        let space = match space {
            SpaceArg::Ras => Space::Ras,
            SpaceArg::Lps => Space::Lps,
        };
        Ok(Self { space, files })
    }

    /// Stages the surfaces of the labels that have voxels.
    pub fn write(&self, outputs: &mut Outputs, made: &Made<'_>) -> Result<(), CliError> {
        for (path, name) in &self.files {
            let Some(mesh) = surface(&made.segmentation.labels, name.value, self.space) else { continue };
            let stl = with_ending(path, "stl");
            outputs.stage(&stl, |out| write_stl(out, &mesh, self.space).at(&stl))?;
            let glb = with_ending(path, "glb");
            outputs.stage(&glb, |out| write_glb(out, &mesh, self.space, &name.name, name.color).at(&glb))?;
        }
        Ok(())
    }
}

/// Names of labels may have dots.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}
