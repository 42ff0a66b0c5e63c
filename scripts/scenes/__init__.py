"""The parts of a drawn scene, from canvas to finished sample; draw_scenes.py puts them together."""
