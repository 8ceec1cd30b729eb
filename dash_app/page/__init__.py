"""The page: Dash components from the loader's frames.

`layout` is the frame of the page; `headline`, `cards`, `lately`, `database` and `charts` (with
their `figures`) are pure functions from frames to components; `page` puts them together, and
`callbacks` joins that to the clock. `markup` draws the same components as HTML, for the first
response and for `glance`. No SQL here, and no file but our assets.
"""
