/**
 * An extension of OHIF v3 that segments the series of the active viewport in the tab. Research use only, not a medical device.
 *
 * Configuration: `unetr: { models: [{ name, url }], assetPath }` in OHIF's app-config.js, or with the extension as `[extension, configuration]`.
 */
import { Job } from './job.js';
import { panelOf } from './panel.js';

export const id = 'extension-unetr';

/** @type {Job} */
let job;

export default {
  id,
  preRegistration({ servicesManager, commandsManager, extensionManager, appConfig, configuration }) {
    job = new Job({ servicesManager, commandsManager, extensionManager }, { ...appConfig?.unetr, ...configuration });
  },
  getPanelModule() {
    return [{ name: 'unetr', iconName: 'tab-segmentation', iconLabel: 'UNETR', label: 'UNETR', component: panelOf(job) }];
  },
  getCommandsModule() {
    return {
      definitions: {
        /** Segments a display set, by default that of the active viewport, with a model, by default the first: `{ model, displaySetInstanceUID }`. */
        segmentUnetr: { commandFn: (options) => job.run(options) },
        cancelUnetr: { commandFn: () => job.cancel() },
      },
      defaultContext: 'UNETR',
    };
  },
  onModeExit() {
    job.leave();
  },
};
