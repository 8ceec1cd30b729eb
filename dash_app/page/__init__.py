"""The page: Dash components from a snapshot and from the loader's frames.

`headline`, `cards`, `incidents`, `database` and `charts` are pure functions that return components,
made of `widgets`. `layout` is the frame around them, `page` fills it for a request, and `callbacks`
update it at each tick. `markup` draws the same components as HTML, for the first response, for each
tick and for `glance`. No SQL here, and no file except our assets.
"""
