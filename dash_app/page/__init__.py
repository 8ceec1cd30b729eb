"""The page: Dash components from the loader's frames.

`layout` is the frame of the page, `headline`, `cards` and `charts` are pure functions from frames
to components, `callbacks` joins them to the clock. No SQL here, and no file but our assets.
"""
