//! The networks, one line each. Packages, recipes, import, the command line and the tab all go by this table.

use serde_json::{Map, Value};

use super::config::ConfigError;
use super::dialect::Dialect;
use super::network::Architecture;
use super::{
    attention_unet, basic_unet, dynunet, nnunet, segresnet, segresnet_ds, setr, swin_unetr, transbts, unet, unetr,
};
use crate::fields::Section;

/// A kind of network.
pub struct NetworkType {
    /// `network.type` in packages and recipes: the reference class.
    pub name: &'static str,
    /// Reads its arguments.
    pub read: Read,
    /// What other programs call its tensors.
    pub dialect: &'static dyn Dialect,
    /// Arguments of its published form, as JSON.
    pub published: &'static str,
}

/// Every network. A section without `type` is of the first.
pub static NETWORKS: &[NetworkType] = &[
    of("UNETR", unetr::UnetrConfig::read, &unetr::monai::Monai, unetr::config::PUBLISHED),
    of("UNet", unet::UNetConfig::read, &unet::monai::Monai, unet::config::PUBLISHED),
    of("BasicUNet", basic_unet::BasicUNetConfig::read, &basic_unet::monai::Monai, basic_unet::config::PUBLISHED),
    of(
        "AttentionUnet",
        attention_unet::AttentionUnetConfig::read,
        &attention_unet::monai::Monai,
        attention_unet::config::PUBLISHED,
    ),
    of("DynUNet", dynunet::DynUNetConfig::read, &dynunet::monai::Monai, dynunet::config::PUBLISHED),
    of("SegResNet", segresnet::SegResNetConfig::read, &segresnet::monai::Monai, segresnet::config::PUBLISHED),
    of("SwinUNETR", swin_unetr::SwinUnetrConfig::read, &swin_unetr::monai::Monai, swin_unetr::config::PUBLISHED),
    of(
        "SegResNetDS",
        segresnet_ds::SegResNetDsConfig::read,
        &segresnet_ds::monai::Monai,
        segresnet_ds::config::PUBLISHED,
    ),
    of("PlainConvUNet", nnunet::NnUNetConfig::read_plain, &nnunet::state_dict::Plain, nnunet::config::PUBLISHED_PLAIN),
    of(
        "ResidualEncoderUNet",
        nnunet::NnUNetConfig::read_residual,
        &nnunet::state_dict::Residual,
        nnunet::config::PUBLISHED_RESIDUAL,
    ),
    of("SETR", setr::SetrConfig::read, &setr::keys::Keys, setr::config::PUBLISHED),
    of("TransBTS", transbts::TransBtsConfig::read, &transbts::keys::Keys, transbts::config::PUBLISHED),
];

type Read = fn(&Section<'_>) -> Result<Architecture, ConfigError>;

const fn of(name: &'static str, read: Read, dialect: &'static dyn Dialect, published: &'static str) -> NetworkType {
    NetworkType { name, read, dialect, published }
}

impl std::fmt::Debug for NetworkType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl NetworkType {
    /// The network of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        NETWORKS.iter().find(|network| network.name == name)
    }

    /// Its published form.
    ///
    /// # Errors
    /// Never for a registered network, which a test holds.
    pub fn published(&self) -> Result<Architecture, ConfigError> {
        let arguments: Map<String, Value> = serde_json::from_str(self.published).unwrap_or_default();
        (self.read)(&Section::at("network", &arguments))
    }
}

/// The names of all networks, for messages.
pub fn names() -> String {
    let names: Vec<&str> = NETWORKS.iter().map(|network| network.name).collect();
    names.join(", ")
}

/// Whether sections without `type` mean this network.
pub(super) fn is_first(name: &str) -> bool {
    NETWORKS.first().is_some_and(|network| network.name == name)
}

/// The type that a `network` section names.
///
/// # Errors
/// It is no text, or no network's name.
pub fn of_section(section: &Section<'_>) -> Result<&'static NetworkType, ConfigError> {
    let default = NETWORKS.first().map_or("", |network| network.name);
    let name: String = section.or("type", default.to_owned())?;
    NetworkType::named(&name).ok_or_else(|| {
        let rule = "there is no such network in this program";
        ConfigError::value("type", format!("{name:?}"), rule, format!("use one of {}", names()))
    })
}

/// Reads a `network` section.
pub(super) fn read(section: &Section<'_>) -> Result<Architecture, ConfigError> {
    (of_section(section)?.read)(section)
}
