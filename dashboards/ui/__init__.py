"""Parts that every page is made of; each says in its docstring how it is used.

`tokens` values of the design · `icons` · `marks` levels, statuses, times · `states` empty, waiting,
not allowed · `cards` figure_card, panel, freshness · `charts` sparkline, area_chart, line_chart,
stacked_bars (SVG, each with a table) · `controls` chips, segmented, tabs, drawer, dialog, confirm,
menu, copy_button · `lists` key_values, history, board · `toasts` what was done, with undo ·
`grid` many rows. A page is a card grid: `html.Div([html.Div([html.H1(...)], className="page-head"),
html.Div(figure_cards, className="figures keys"), panel(...), ...])`; two columns by
`className="split"`, equal ones by `className="halves"`.
"""
