/** A mode of OHIF v3: its own segmentation mode, with the panel of `extension-unetr` on the right. */
export const id = 'mode-unetr';

const PANEL = 'extension-unetr.panelModule.unetr';

export default {
  id,
  async modeFactory({ modeConfiguration, loadModules }) {
    const [base] = await loadModules(['@ohif/mode-segmentation']);
    const mode = await base.modeFactory({ modeConfiguration, loadModules });
    return {
      ...mode,
      id,
      routeName: 'unetr',
      displayName: 'UNETR',
      extensions: { ...mode.extensions, 'extension-unetr': '^0.1.0' },
      routes: mode.routes.map((route) => ({ ...route, layoutTemplate: (...given) => withPanel(route.layoutTemplate(...given)) })),
    };
  },
};

/** @param {{ props: { rightPanels?: string[] } }} layout */
function withPanel(layout) {
  return { ...layout, props: { ...layout.props, rightPanels: [PANEL, ...(layout.props.rightPanels ?? [])], rightPanelClosed: false } };
}
