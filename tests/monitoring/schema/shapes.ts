// The shapes of the dashboards' parts, as Grafana declares them for its own front end.
import type * as Raw from '@grafana/schema/dist/types/raw/dashboard/x/dashboard_types.gen';
import type * as BarGauge from '@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as Stat from '@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as StateTimeline from '@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as Table from '@grafana/schema/dist/types/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as TimeSeries from '@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// JSON has an enum's values and not its names, and leaves out what has a default.
type Loose<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends Array<infer Item>
      ? Array<Loose<Item>>
      : unknown extends T
        ? unknown
        : { [Key in keyof T]?: Loose<T[Key]> };

// The package says nothing of a query to Prometheus.
type Query = {
  datasource: Raw.DataSourceRef;
  expr: string;
  format?: 'table';
  instant: boolean;
  legendFormat?: string;
  range: boolean;
  refId: string;
};

type Of<Type extends string, Options, Custom> = Loose<Omit<Raw.Panel, 'type' | 'options' | 'fieldConfig' | 'targets'>> & {
  type: Type;
  options: Loose<Options>;
  targets: Query[];
  fieldConfig: {
    defaults: Loose<Omit<Raw.FieldConfig, 'custom'>> & { custom?: Loose<Custom> };
    overrides: Array<Loose<Raw.FieldConfigSource['overrides'][number]>>;
  };
};

type Panel =
  | (Loose<Omit<Raw.RowPanel, 'type'>> & { type: 'row' })
  | Of<'bargauge', BarGauge.Options, never>
  | Of<'stat', Stat.Options, never>
  | Of<'state-timeline', StateTimeline.Options, StateTimeline.FieldConfig>
  | Of<'table', Table.Options, Table.FieldConfig>
  | Of<'timeseries', TimeSeries.Options, TimeSeries.FieldConfig>;

export type Dashboard = Loose<Omit<Raw.Dashboard, 'panels'>> & { panels: Panel[] };
